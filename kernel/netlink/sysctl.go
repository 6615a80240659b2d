package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/errdefs"
)

// Sysctl reads a setting below /proc/sys/net, such as "ipv4/ip_forward", of the
// calling thread's network namespace.
func Sysctl(name string) (string, error) {
	b, err := os.ReadFile("/proc/sys/net/" + name)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("sysctl net/%s: %w", name, errdefs.ErrNotFound)
	}
	return string(bytes.TrimSpace(b)), err
}

// SetSysctl writes a setting, unless it has the value already: on hosts where
// /proc/sys is read-only somebody else has set what is needed.
func SetSysctl(name, value string) error {
	got, err := Sysctl(name)
	if err != nil || got == value {
		return err
	}
	return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
}

// DisableIPv6 makes a link deaf to IPv6. Do it before the link is up, or it may
// have taken an address from a router's advertisement. A kernel without IPv6 is
// fine as it is.
func DisableIPv6(link string) error {
	name := "ipv6/conf/" + link + "/disable_ipv6"
	err := os.WriteFile("/proc/sys/net/"+name, []byte{'1'}, 0) // a new link: no need to look first
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return SetSysctl(name, "1")
	}
	return nil
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
