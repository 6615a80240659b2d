//go:build nodefence_devicerules

package spec

import specs "github.com/opencontainers/runtime-spec/specs-go"

var atFirst = specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
