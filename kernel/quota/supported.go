package quota

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// UnsupportedError says why files at a place cannot be limited, and what would
// help.
type UnsupportedError struct {
	Path string
	// FileSystem is its type, as mount(8) names it.
	FileSystem string
	remedy     string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s is on %s without project quotas: %s", e.Path, e.FileSystem, e.remedy)
}

// Unwrap makes it errors.ErrUnsupported.
func (e *UnsupportedError) Unwrap() error { return errors.ErrUnsupported }

// fileSystems are those that people put their data on. What would help with
// others is to take another one.
var fileSystems = map[int64]struct{ name, remedy string }{
	unix.EXT4_SUPER_MAGIC:      {"ext4", "give it the feature (tune2fs -O project -Q prjquota DEVICE, while it is not mounted) and mount it with the option prjquota"},
	unix.XFS_SUPER_MAGIC:       {"xfs", "mount it with the option pquota (the root file system: rootflags=pquota on the kernel's command line)"},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", elsewhere},
	unix.TMPFS_MAGIC:           {"tmpfs", elsewhere},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", elsewhere},
	zfsMagic:                   {"zfs", elsewhere},
}

const (
	elsewhere = "put the data-root on xfs, mounted with the option pquota, or on ext4 with the feature project, mounted with prjquota"
	zfsMagic  = 0x2fc12fc1
)

// Supported is nil if the file system at path limits projects, and an
// UnsupportedError if it does not.
func Supported(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return supported(dir)
}

func supported(dir *os.File) error {
	var s state
	s.version = version
	if err := control(dir, getState, 0, unsafe.Pointer(&s)); err == nil && s.flags&enforced != 0 {
		return nil
	} // else there are no quotas at all (ENOSYS), or not of projects
	var st unix.Statfs_t
	err := unix.Fstatfs(int(dir.Fd()), &st)
	runtime.KeepAlive(dir)
	if err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	fs, ok := fileSystems[st.Type]
	if !ok {
		fs.name, fs.remedy = fmt.Sprintf("a file system (type %#x)", st.Type), elsewhere
	}
	return &UnsupportedError{dir.Name(), fs.name, fs.remedy}
}
