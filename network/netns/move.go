package netns

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
)

// Path is the namespace as a file that other processes may open while the
// descriptor is open.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.File.Fd()) }

// MoveIn takes a link of the host's, or finds it here already.
func (n *Namespace) MoveIn(host *netlink.Conn, name string) (Interface, error) {
	l, err := host.Link(name)
	if err == nil {
		err = host.SetNamespace(l.Index, n.File)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return Interface{}, err
	}
	return n.Interface(name)
}

// MoveOut gives a link back to the host, under its name there. No link is no
// error.
func (n *Namespace) MoveOut(name, there string) error {
	i, err := n.Interface(name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer host.Close()
	if name != there {
		if err := n.conn.SetDown(i.Index); err != nil {
			return err
		}
		if err := n.conn.Rename(i.Index, there); err != nil {
			return err
		}
	}
	return n.conn.SetNamespace(i.Index, host)
}

// Route leads to a network through an interface.
type Route struct {
	To  netip.Prefix
	Via netip.Addr // zero: whoever is on the link
}

// AddRoutes adds routes through an interface.
func (n *Namespace) AddRoutes(i Interface, routes ...Route) error {
	for _, r := range routes {
		if err := n.conn.AddRoute(netlink.Route{Index: i.Index, To: r.To, Via: r.Via}); err != nil {
			return fmt.Errorf("set route to %s: %w", r.To, err)
		}
	}
	return nil
}
