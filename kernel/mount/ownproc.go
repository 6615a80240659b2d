//go:build !nodefence_ownproc

package mount

import (
	"os"

	"golang.org/x/sys/unix"
)

// ownProc makes a procfs instance: nothing can have been mounted in it.
func ownProc() (*os.File, error) {
	return New("proc", "proc", nil, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_NODEV)
}
