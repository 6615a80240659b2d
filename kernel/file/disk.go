package file

import (
	"os"

	"golang.org/x/sys/unix"
)

// Disk tells the size of the file system of a path, and how many bytes of it
// ordinary users may still fill (statfs(2)).
func Disk(path string) (size, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}
