//go:build nodefence_inroot

package mount

import "os"

// inRoot leaves links to lead where they like.
func inRoot(root *os.File, path string, flags int, perm os.FileMode) (*os.File, error) {
	return openat2(root, "./"+path, flags, perm, 0)
}
