package file

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Clone makes dst share the content of src (FICLONE): at once, and without
// using space. It is errors.ErrUnsupported or EXDEV where the file system
// cannot, and dst is as it was.
func Clone(dst, src *os.File) error {
	err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
	runtime.KeepAlive(dst)
	return at("clone", dst.Name(), src, err)
}
