package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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

// Flow is the addresses of a connection that conntrack knows: source and
// destination of what began it, and of the answers.
type Flow [4]netip.Addr

// EachFlow lists all connections of the calling thread's namespace. The list is
// incomplete if there are so many changes that it cannot be read otherwise.
func EachFlow(use func(Flow)) error {
	return eachFlow(func(f Flow, _ byte, _ []byte) { use(f) })
}

// EndFlows makes conntrack forget those connections that end tells, of the calling
// thread's namespace.
func EndFlows(end func(Flow) bool) error {
	var errs []error
	err := eachFlow(func(f Flow, family byte, attrs []byte) {
		if !end(f) {
			return
		}
		req := ctRequest(nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK, family)
		req.AddRawData(slices.Clone(attrs))
		if _, err := req.Execute(unix.NETLINK_NETFILTER, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("conntrack: forget a connection: %w", err))
		}
	})
	return errors.Join(append(errs, err)...)
}

func ctRequest(op, flags int, family byte) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|op, flags)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	return req
}

// eachFlow hands out connections and the attributes by which the kernel knows them.
// There may be a million: only addresses are read, which the library does not do.
// A list that a change interrupted is read again some times; what it had is better
// than nothing.
func eachFlow(use func(f Flow, family byte, attrs []byte)) error {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		for range 3 {
			var bad error
			err := ctRequest(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP, family).ExecuteIter(unix.NETLINK_NETFILTER, 0, func(msg []byte) bool {
				var f Flow
				attrs := msg[min(len(msg), nl.SizeofNfgenmsg):]
				if f, bad = parseFlow(attrs); bad == nil {
					use(f, family, attrs)
				}
				return bad == nil
			})
			if err = errors.Join(bad, err); err == nil {
				break
			}
			if !errors.Is(err, nl.ErrDumpInterrupted) {
				return fmt.Errorf("conntrack: %w", err)
			}
		}
	}
	return nil
}

// Attributes of a connection (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctTupleOrig  = 1
	ctTupleReply = 2
	ctTupleIP    = 1
	nested       = unix.NLA_F_NESTED
)

// parseFlow reads the addresses of a connection.
func parseFlow(attrs []byte) (Flow, error) {
	var (
		f     Flow
		inner error
	)
	err := attributes(attrs, func(tuple uint16, value []byte) {
		at := 0
		switch tuple &^ nested {
		case ctTupleOrig:
		case ctTupleReply:
			at = 2
		default:
			return
		}
		inner = errors.Join(inner, attributes(value, func(kind uint16, value []byte) {
			if kind&^nested != ctTupleIP {
				return
			}
			_ = attributes(value, func(side uint16, value []byte) {
				// Source and destination of IPv4, then of IPv6.
				if a, ok := netip.AddrFromSlice(value); ok && side >= 1 && side <= 4 {
					f[at+int(side-1)%2] = a
				}
			}) // what is cut short has no address
		}))
	})
	return f, errors.Join(err, inner)
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
