//go:build !nodefence_cloexec

package stage

import "github.com/berth-engine/berth/kernel/task"

// closeDescriptors ends all descriptors but the standard streams at execve
// (CVE-2024-21626). Until then, no other process can look at them.
func closeDescriptors() error { return task.CloseOnExec(fdControl) }
