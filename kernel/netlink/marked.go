package netlink

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DeliverMarked has the kernel deliver packets with a mark to sockets of the
// host, whatever address they are for: a routing table of the mark's number
// with everything local, and a rule that leads to it, in both address families.
// A host without IPv6 gets it for IPv4. It may be there already.
func (c *Conn) DeliverMarked(mark uint32) error {
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		route, rule := marked(f, mark)
		err := c.h.RouteAdd(route)
		if errors.Is(err, unix.EEXIST) {
			err = nil
		}
		if err == nil {
			err = c.h.RuleAdd(rule)
		}
		switch {
		case errors.Is(err, unix.EEXIST):
		case f == unix.AF_INET6 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES)):
		case err != nil:
			return fmt.Errorf("deliver marked packets to the host: %w", err)
		}
	}
	return nil
}

// ForgetMarked takes back what DeliverMarked did.
func (c *Conn) ForgetMarked(mark uint32) error {
	var errs []error
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		route, rule := marked(f, mark)
		for _, err := range []error{c.h.RuleDel(rule), c.h.RouteDel(route)} {
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EAFNOSUPPORT) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func marked(family int, mark uint32) (*netlink.Route, *netlink.Rule) {
	all := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if family == unix.AF_INET6 {
		all = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	rule := netlink.NewRule()
	rule.Family, rule.Mark, rule.Table = family, mark, int(mark)
	return &netlink.Route{
		Family: family, LinkIndex: LoopbackIndex, Dst: all, Table: int(mark), Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST,
	}, rule
}
