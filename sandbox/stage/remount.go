package stage

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// separate file systems are new with every mount: their parameters concern
// nobody else.
var separate = []int64{
	unix.TMPFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.PROC_SUPER_MAGIC, unix.RAMFS_MAGIC, unix.HUGETLBFS_MAGIC,
}

// remount changes what an earlier entry, or the root, has mounted at the
// destination: attributes, propagation, and parameters of the file system if it
// is the container's own. Words that are not there leave things as they are.
func (s *setup) remount(m *specs.Mount, o *mountOptions) error {
	at, err := mount.OpenInRoot(s.root, m.Destination, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer at.Close()
	if len(o.fs) > 0 && !o.bind {
		if err := s.reconfigure(at, o.fs); err != nil {
			return err
		}
	}
	if (o.attr.Set|o.attr.Clear|o.recAttr.Set|o.recAttr.Clear)&unix.MOUNT_ATTR_RDONLY != 0 {
		device, err := deviceOf(at)
		if err != nil {
			return err
		}
		// The last word on it is this one.
		s.sealed = slices.DeleteFunc(s.sealed, func(f *os.File) bool {
			d, err := deviceOf(f)
			return err == nil && d == device
		})
	}
	for _, a := range []mount.Attr{o.attr, o.recAttr, {Propagation: o.propagation, Recursive: o.propRecursive}} {
		if a.Set|a.Clear|a.Propagation == 0 {
			continue
		}
		if err := mount.SetAttr(at, a); err != nil {
			return fmt.Errorf("remount (is it a mount?): %w", err)
		}
	}
	return nil
}

// reconfigure refuses a file system that the container has not made: others
// would be changed, too.
func (s *setup) reconfigure(at *os.File, options []mount.Option) error {
	magic, err := mount.Magic(at)
	if err != nil {
		return err
	}
	device, err := deviceOf(at)
	if err != nil {
		return err
	}
	if !slices.Contains(separate, magic) || !slices.Contains(s.made, device) {
		return invalid("remount: option %q concerns a file system that others use, too", options[0].Key)
	}
	return mount.Reconfigure(at, options)
}

func deviceOf(f *os.File) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return st.Dev, nil
}
