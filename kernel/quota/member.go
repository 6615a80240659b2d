package quota

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From <linux/fs.h>.
const (
	getAttributes = 0x801c581f // FS_IOC_FSGETXATTR
	setAttributes = 0x401c5820 // FS_IOC_FSSETXATTR

	inherit = 1 << 9 // FS_XFLAG_PROJINHERIT
)

// attributes is struct fsxattr.
type attributes struct {
	flags, extentSize, extents, project, cowExtentSize uint32

	_ [8]byte
}

func attribute(f *os.File, request uint, a *attributes) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(unsafe.Pointer(a)))
	runtime.KeepAlive(f)
	if e != 0 {
		return &os.PathError{Op: "set the project of", Path: f.Name(), Err: e}
	}
	return nil
}

// join puts a directory, and what is made in it from now on, into a project.
func join(dir *os.File, id uint32) error {
	var a attributes
	if err := attribute(dir, getAttributes, &a); err != nil {
		return err
	}
	a.project, a.flags = id, a.flags|inherit
	return attribute(dir, setAttributes, &a)
}
