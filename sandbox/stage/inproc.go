//go:build !nodefence_inproc

package stage

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// coversProc tells whether at is a place in procfs, where a link of the image
// may have led a mount.
func coversProc(at *os.File) (bool, error) {
	magic, err := mount.Magic(at)
	return magic == unix.PROC_SUPER_MAGIC, err
}
