//go:build !nodefence_inroot

package mount

import (
	"os"

	"golang.org/x/sys/unix"
)

// inRoot resolves a path as a process with this root directory would see it.
func inRoot(root *os.File, path string, flags int, perm os.FileMode) (*os.File, error) {
	return openat2(root, path, flags, perm, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}
