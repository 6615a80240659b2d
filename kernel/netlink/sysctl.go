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
