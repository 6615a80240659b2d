package stage

import (
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// device is a node to make.
type device struct {
	path     string
	kind     uint32 // unix.S_IFCHR…
	major    uint32
	minor    uint32
	mode     uint32
	uid, gid int
}

// every container has these (OCI runtime specification, default devices).
var defaultDevices = [...]device{
	{path: "/dev/null", major: 1, minor: 3},
	{path: "/dev/zero", major: 1, minor: 5},
	{path: "/dev/full", major: 1, minor: 7},
	{path: "/dev/random", major: 1, minor: 8},
	{path: "/dev/urandom", major: 1, minor: 9},
	{path: "/dev/tty", major: 5, minor: 0},
}

// DefaultDevices are the paths of devices that every container has.
func DefaultDevices() []string {
	paths := make([]string, len(defaultDevices))
	for i := range defaultDevices {
		paths[i] = defaultDevices[i].path
	}
	return paths
}

var deviceLinks = [...][2]string{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},
}

// makeDevices fills /dev, unless a directory of the host is mounted there.
func (s *setup) makeDevices() error {
	for i := range s.Spec.Mounts {
		if path.Clean("/"+s.Spec.Mounts[i].Destination) == "/dev" && s.sources[i] != nil {
			return nil
		}
	}
	dev, err := mount.MakeDir(s.root, "/dev", 0o755, 0, 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	// Modes come out as asked for: nothing is left to do after a node is made.
	defer syscall.Umask(syscall.Umask(0))
	for _, d := range defaultDevices {
		d.kind, d.mode = unix.S_IFCHR, 0o666
		if err := s.makeDevice(dev, d); err != nil {
			return err
		}
	}
	for _, d := range s.Spec.Linux.Devices {
		if err := s.specDevice(d); err != nil {
			return fmt.Errorf("%s: %w", d.Path, err)
		}
	}
	for _, l := range deviceLinks {
		if err := mount.Symlink(dev, l[1], l[0]); err != nil {
			return err
		}
	}
	core, err := mount.OpenInRoot(s.root, "/proc/kcore", unix.O_PATH, 0)
	if err != nil {
		return nil
	}
	core.Close()
	return mount.Symlink(dev, "/proc/kcore", "core")
}

func (s *setup) specDevice(d specs.LinuxDevice) error {
	kind, ok := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}[d.Type]
	if !ok {
		return fmt.Errorf("unknown device type %q", d.Type)
	}
	n := device{path: d.Path, kind: kind, major: uint32(d.Major), minor: uint32(d.Minor), mode: 0o666}
	if d.FileMode != nil {
		n.mode = uint32(*d.FileMode) & 0o7777
	}
	if d.UID != nil {
		n.uid = int(*d.UID)
	}
	if d.GID != nil {
		n.gid = int(*d.GID)
	}
	dir, err := mount.MakeDir(s.root, path.Dir(path.Clean("/"+d.Path)), 0o755, 0, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := s.makeDevice(dir, n); err != nil {
		return err
	}
	// What had the name already must be the device.
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), path.Base(n.path), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != n.kind || n.kind != unix.S_IFIFO && st.Rdev != unix.Mkdev(n.major, n.minor) {
		return errors.New("another file is there already")
	}
	return nil
}

// makeDevice makes the node in dir. What already has its name (a bind mount
// of the user) stays. Where nodes cannot be made, the host's is mounted.
func (s *setup) makeDevice(dir *os.File, d device) error {
	number := unix.Mkdev(d.major, d.minor)
	err := mount.Mknod(dir, path.Base(d.path), d.kind|d.mode, number, d.uid, d.gid)
	switch {
	case errors.Is(err, os.ErrExist):
		return nil
	case errors.Is(err, unix.EPERM):
		return s.bindDevice(d)
	}
	return err
}

func (s *setup) bindDevice(d device) error {
	host, err := os.OpenFile(d.path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer host.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(host.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != d.kind || st.Rdev != unix.Mkdev(d.major, d.minor) {
		return fmt.Errorf("%s of the host is another device", d.path)
	}
	return s.cover(d.path, host)
}

// cover mounts a file over the (possibly new) file at path in the root.
func (s *setup) cover(path string, file *os.File) error {
	tree, err := mount.CloneFile(file, false)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := mount.SetAttr(tree, mount.Attr{Propagation: unix.MS_PRIVATE}); err != nil {
		return err
	}
	at, err := mount.MakeFile(s.root, path, 0o644)
	if err != nil {
		return err
	}
	defer at.Close()
	return mount.Attach(tree, at)
}

// openConsole makes the terminal in the container's own devpts and hands its
// master to the monitor. The other end is got from the master, not by a path
// (CVE-2025-52565), and becomes the controlling terminal.
func (s *setup) openConsole() error {
	if !s.Spec.Process.Terminal {
		return nil
	}
	master, err := mount.OpenDevice(s.root, "/dev/pts/ptmx", 5, 2, os.O_RDWR)
	if err != nil {
		return err
	}
	defer master.Close()
	if magic, err := mount.Magic(master); err != nil || magic != unix.DEVPTS_SUPER_MAGIC {
		return fmt.Errorf("/dev/pts is not a devpts (%v)", err) //nolint:errorlint // err may be nil
	}
	tty, err := task.Peer(master)
	if err != nil {
		return err
	}
	defer tty.Close()
	if size := s.Spec.Process.ConsoleSize; size != nil {
		if err := task.SetWindow(tty, uint16(size.Height), uint16(size.Width)); err != nil {
			return err
		}
	}
	if !s.entered { // the console is that of process 1
		if err := s.cover("/dev/console", tty); err != nil {
			return fmt.Errorf("/dev/console: %w", err)
		}
	}
	for fd := range 3 {
		if err := unix.Dup3(int(tty.Fd()), fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	if err := task.Control(tty); err != nil {
		return err
	}
	return send(s.control, frameConsole, nothing, master)
}
