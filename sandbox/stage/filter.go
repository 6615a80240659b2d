//go:build !nodefence_filter

package stage

import (
	"os"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// loadFilter confines the thread to the system calls that the profile allows.
func loadFilter(program []byte, flags uintptr) error { return task.LoadSeccomp(program, flags) }

// loadNotifier does it, too, and sends message with the filter's listener.
func loadNotifier(program []byte, flags uintptr, socket *os.File, message []byte) error {
	return task.LoadNotifier(program, flags, socket, message)
}

func scriptFilter(s *ns.Script, program []byte, flags uintptr) error {
	return s.LoadSeccomp(program, flags)
}
