package netlink

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DeliverMarked has the kernel deliver packets with a mark to sockets of the
// host, whatever address they are for: a routing table of the mark's number
// with everything local, and a rule that leads to it, in both address families.
// A host without IPv6 gets it for IPv4. It may be there already. The rule's
// priority is the caller's own; others may lead to the same table.
func (c *Conn) DeliverMarked(mark uint32, priority int) error {
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		route, rule := marked(f, mark, priority)
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

// ForgetMarked takes back what DeliverMarked did for the same priority; the
// table stays while another rule leads to it.
func (c *Conn) ForgetMarked(mark uint32, priority int) error {
	var errs []error
	check := func(err error) {
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EAFNOSUPPORT) {
			errs = append(errs, err)
		}
	}
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		route, rule := marked(f, mark, priority)
		check(c.h.RuleDel(rule))
		rules, err := dump(func() ([]netlink.Rule, error) { return c.h.RuleList(f) })
		check(err)
		if !slices.ContainsFunc(rules, func(r netlink.Rule) bool { return r.Table == int(mark) }) {
			check(c.h.RouteDel(route))
		}
	}
	return errors.Join(errs...)
}

func marked(family int, mark uint32, priority int) (*netlink.Route, *netlink.Rule) {
	all := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if family == unix.AF_INET6 {
		all = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	rule := netlink.NewRule()
	rule.Family, rule.Mark, rule.Table, rule.Priority = family, mark, int(mark), priority
	return &netlink.Route{
		Family: family, LinkIndex: LoopbackIndex, Dst: all, Table: int(mark), Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST,
	}, rule
}
