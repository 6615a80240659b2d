//go:build !nodefence_opennode

package mount

import (
	"os"

	"golang.org/x/sys/unix"
)

// openNode opens what has the name, without following it.
func openNode(dir *os.File, name string) (*os.File, error) {
	return openat2(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0, unix.RESOLVE_BENEATH)
}
