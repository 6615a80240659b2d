//go:build !nodefence_devicerules

package spec

import specs "github.com/opencontainers/runtime-spec/specs-go"

// atFirst is what goes for a device before any rule: nothing may be done with
// it. A list that allowed and then forbade would miss what it does not name.
var atFirst = specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"}
