package file

import (
	"io/fs"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Stat is what the kernel tells of an entry (stat(2)).
type Stat struct {
	Mode          fs.FileMode // type, permissions, setuid, setgid, sticky
	UID, GID      int
	Size          int64
	Links         uint64
	Device, Inode uint64 // name the object on this host
	Major, Minor  uint32 // of the device that a node stands for
	Accessed      time.Time
	Modified      time.Time
}

// IsDir tells whether the entry is a directory.
func (s *Stat) IsDir() bool { return s.Mode.IsDir() }

// Same tells whether both are one object.
func (s *Stat) Same(o *Stat) bool { return s.Device == o.Device && s.Inode == o.Inode }

// IsWhiteout tells whether the entry is overlayfs's mark of a removed name.
func (s *Stat) IsWhiteout() bool {
	return s.Mode&fs.ModeCharDevice != 0 && s.Major == 0 && s.Minor == 0
}

// StatAt describes the entry name of dir, or dir itself for "".
func StatAt(dir *os.File, name string) (Stat, error) {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &st, flags(name))
	runtime.KeepAlive(dir)
	if err != nil {
		return Stat{}, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return Stat{
		Mode: mode(st.Mode), UID: int(st.Uid), GID: int(st.Gid), Size: st.Size, Links: st.Nlink,
		Device: st.Dev, Inode: st.Ino, Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev),
		Accessed: time.Unix(st.Atim.Unix()), Modified: time.Unix(st.Mtim.Unix()),
	}, nil
}

func mode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	switch bits & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	}
	for bit, flag := range special {
		if bits&bit != 0 {
			m |= flag
		}
	}
	return m
}

var special = map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky}

// bits is the reverse of mode, without the type.
func bits(m fs.FileMode) uint32 {
	b := uint32(m.Perm())
	for bit, flag := range special {
		if m&flag != 0 {
			b |= bit
		}
	}
	return b
}

// IsKernels tells whether f is on a file system that shows the kernel's own
// state (procfs, sysfs, control groups, devpts, …): reading and writing there
// has effects, and there is nothing to copy.
func IsKernels(f *os.File) (bool, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(f.Fd()), &st)
	runtime.KeepAlive(f)
	if err != nil {
		return false, os.NewSyscallError("fstatfs", err)
	}
	switch st.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.PSTOREFS_MAGIC, unix.EFIVARFS_MAGIC,
		unix.NSFS_MAGIC, unix.SELINUX_MAGIC, unix.BINFMTFS_MAGIC, mqueueMagic, configfsMagic, fusectlMagic:
		return true, nil
	}
	return false, nil
}

// What golang.org/x/sys/unix has no names for.
const (
	mqueueMagic   = 0x19800202
	configfsMagic = 0x62656570
	fusectlMagic  = 0x65735543
)
