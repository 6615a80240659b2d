package netlink

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ForgetFlows removes the UDP flows that conntrack leads to an address, in the
// calling thread's namespace. Such a flow lives as long as its client sends,
// and would lead to whoever gets the address next.
func ForgetFlows(to netip.Addr) error {
	h, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	defer h.Close()
	f := &netlink.ConntrackFilter{}
	if err := f.AddProtocol(unix.IPPROTO_UDP); err != nil {
		return err
	}
	if err := f.AddIP(netlink.ConntrackReplySrcIP, to.AsSlice()); err != nil {
		return err
	}
	family := netlink.InetFamily(unix.AF_INET)
	if to.Is6() {
		family = unix.AF_INET6
	}
	if _, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, family, f); err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	return nil
}

// LedTo counts the TCP connections that the firewall leads to an address
// (conntrack's destination is another than the answers' source) and that are
// being made, open, or closed by one side alone, in the calling thread's
// namespace.
func LedTo(to netip.Addr) (int, error) {
	h, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("conntrack: %w", err)
	}
	defer h.Close()
	family := netlink.InetFamily(unix.AF_INET)
	if to.Is6() {
		family = unix.AF_INET6
	}
	flows, err := h.ConntrackTableList(netlink.ConntrackTable, family)
	if err != nil {
		return 0, fmt.Errorf("conntrack: %w", err)
	}
	n := 0
	for _, f := range flows {
		tcp, ok := f.ProtoInfo.(*netlink.ProtoInfoTCP)
		if ok && f.Reverse.SrcIP.Equal(to.AsSlice()) && !f.Forward.DstIP.Equal(f.Reverse.SrcIP) && tcp.State >= ctSynSent && tcp.State <= ctCloseWait {
			n++
		}
	}
	return n, nil
}

// States of a TCP connection (enum tcp_conntrack of
// linux/netfilter/nf_conntrack_tcp.h).
const (
	ctSynSent   = 1
	ctCloseWait = 5
)
