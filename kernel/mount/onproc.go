//go:build !nodefence_onproc

package mount

import (
	"os"

	"golang.org/x/sys/unix"
)

// onProc tells whether f is on a procfs.
func onProc(f *os.File) (bool, error) {
	magic, err := Magic(f)
	return magic == unix.PROC_SUPER_MAGIC, err
}
