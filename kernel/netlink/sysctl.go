package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// settings is where settings of any namespace are looked up.
var settings view

// view is an instance of proc by itself. What the calling thread sees below
// sys/net depends on its network namespace, and the kernel keeps an entry for each
// namespace that somebody looked into, all under the same name: who looks up a path
// goes through the entries of all others. So a view is used a few times, and its
// entries go with it.
type view struct {
	mu   sync.Mutex
	proc *os.File // nil: /proc itself
	left int      // how many more times
}

// looks is how many times a view is used: making one takes as long as some
// hundred entries.
const looks = 64

func (v *view) open(name string, flags int) (*os.File, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.left == 0 {
		if v.proc != nil {
			v.proc.Close()
		}
		v.left = looks
		const attrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NODEV
		v.proc, _ = mount.New("proc", "proc", nil, attrs) // who may not mount it has /proc
	}
	v.left--
	path := "/proc/sys/net/" + name
	if v.proc == nil {
		return os.OpenFile(path, flags, 0)
	}
	fd, err := unix.Openat(int(v.proc.Fd()), "sys/net/"+name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (v *view) read(name string) (string, error) {
	f, err := v.open(name, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return string(bytes.TrimSpace(b)), err
}

func (v *view) write(name, value string) error {
	f, err := v.open(name, os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// Sysctl reads a setting below /proc/sys/net, such as "ipv4/ip_forward", of the
// calling thread's network namespace.
func Sysctl(name string) (string, error) {
	value, err := settings.read(name)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("sysctl net/%s: %w", name, errdefs.ErrNotFound)
	}
	return value, err
}

// SetSysctl writes a setting, unless it has the value already: on hosts where
// /proc/sys is read-only somebody else has set what is needed.
func SetSysctl(name, value string) error {
	got, err := Sysctl(name)
	if err != nil || got == value {
		return err
	}
	return settings.write(name, value)
}

// DisableIPv6 makes a link deaf to IPv6. Do it before the link is up, or it may
// have taken an address from a router's advertisement. A kernel without IPv6 is
// fine as it is.
func DisableIPv6(link string) error {
	name := "ipv6/conf/" + link + "/disable_ipv6"
	err := settings.write(name, "1") // a new link: no need to look first
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return SetSysctl(name, "1")
	}
	return nil
}

// BornDeaf runs born, which makes a link in the calling thread's namespace that
// nobody else uses yet, and returns with the link deaf to IPv6. It is so from its
// birth, where the kernel lets a namespace say so: to make it deaf later, the
// kernel's lock of links has to be free at the moment when it is asked for, and the
// processor spins until it is.
func BornDeaf(link string, born func() error) error {
	f, err := settings.open("ipv6/conf/default/disable_ipv6", os.O_RDWR)
	was := make([]byte, 1)
	if err == nil {
		defer f.Close()
		if _, err = f.ReadAt(was, 0); err == nil {
			_, err = f.WriteAt([]byte{'1'}, 0)
		}
	}
	if err != nil {
		return errors.Join(born(), DisableIPv6(link))
	}
	err = born()
	// Later links, which others may make, are as they would be anywhere.
	_, back := f.WriteAt(was, 0)
	return errors.Join(err, back)
}

// links is the directory of the IPv6 settings of a namespace's links. The kernel
// keeps an entry called "ipv6" below /proc/sys/net for each namespace that
// somebody looked into, and goes through all of them to find one by its path:
// beside five hundred containers that is most of what a setting costs.
type links struct {
	mu  sync.Mutex
	dir *os.Root
}

func (l *links) open() (*os.Root, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.dir == nil {
		l.dir, err = os.OpenRoot("/proc/sys/net/ipv6/conf")
	}
	return l.dir, err
}

func (l *links) close() {
	if l.dir != nil {
		l.dir.Close()
	}
}

// DisableIPv6 is the function of that name, for a Conn that is kept; the calling
// thread must be in its namespace.
func (c *Conn) DisableIPv6(link string) error {
	dir, err := c.links.open()
	if err == nil {
		err = dir.WriteFile(link+"/disable_ipv6", []byte{'1'}, 0)
	}
	if err != nil {
		return DisableIPv6(link) // which knows what may be passed over
	}
	return nil
}
