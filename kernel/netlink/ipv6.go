package netlink

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// EnableIPv6 lets a link that was deaf to IPv6 use it, with the addresses it is
// given and no others: what a router advertises is not believed. It must be
// called in the link's namespace. The link's hardware address should be final,
// because its link-local address is made of it.
func EnableIPv6(link string) error {
	for _, set := range [][2]string{{"accept_ra", "0"}, {"accept_dad", "0"}, {"disable_ipv6", "0"}} {
		if err := SetSysctl("ipv6/conf/"+link+"/"+set[0], set[1]); err != nil {
			return fmt.Errorf("IPv6 on %s: %w", link, err)
		}
	}
	return nil
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
