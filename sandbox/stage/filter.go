//go:build !nodefence_filter

package stage

import "github.com/berth-engine/berth/kernel/task"

// loadFilter confines the thread to the system calls that the profile allows.
func loadFilter(program []byte, flags uintptr) error { return task.LoadSeccomp(program, flags) }
