package network

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	nettypes "github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/network/bridge"
)

// through is an Ethernet frame to a router with a datagram, from port 7 to port 9.
func through(router, from net.HardwareAddr, src, dst netip.Addr, text string) []byte {
	body := append([]byte{0, 7, 0, 9, 0, byte(8 + len(text)), 0, 0}, text...)
	pseudo := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), 0, 0, 0, unix.IPPROTO_UDP)
	binary.BigEndian.PutUint16(body[6:], sum(src.AsSlice(), dst.AsSlice(), pseudo, body))
	addresses := append(src.AsSlice(), dst.AsSlice()...)
	if src.Is6() {
		h := []byte{0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_UDP, 64}
		return frame(router, from, unix.ETH_P_IPV6, 0, append(append(h, addresses...), body...))
	}
	h := append([]byte{0x45, 0, 0, byte(20 + len(body)), 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}, addresses...)
	binary.BigEndian.PutUint16(h[10:], sum(h))
	return frame(router, from, unix.ETH_P_IP, 0, append(h, body...))
}

// hear listens at port 9 of an address; f is a namespace, nil: the host's.
func hear(t *testing.T, f *os.File, address string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	listen := func() (err error) {
		c, err = net.ListenPacket("udp", net.JoinHostPort(address, "9"))
		return err
	}
	err := error(nil)
	if f == nil {
		err = listen()
	} else {
		err = ns.WithNetNS(f, listen)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestImpostor: what a container sends through the host, or to it, under an
// address of another network or of the host, opens no way for answers to whoever
// has that address. The host is one without rp_filter.
func TestImpostor(t *testing.T) {
	const host6, neighbour6 = "2001:db8::1", "2001:db8::2"
	w := newWorld(t)
	sh(t, "ip addr add "+host6+"/64 dev up0 nodad; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
	in(t, w.outside, "ip addr add "+neighbour6+"/64 dev eth0 nodad; ip -6 route add default via "+host6)
	on6 := true
	w.create(nettypes.CreateRequest{Name: "one", EnableIPv6: &on6, IPAM: subnets("10.79.1.0/24", "fd00:79:1::/64")})
	w.create(nettypes.CreateRequest{Name: "two", EnableIPv6: &on6, IPAM: subnets("10.79.2.0/24", "fd00:79:2::/64")})
	w.create(nettypes.CreateRequest{Name: "shut", EnableIPv6: &on6, Internal: true, IPAM: subnets("10.79.3.0/24", "fd00:79:3::/64")})
	evil, two, shut := w.join("evil", on("one")), w.join("two", on("two")), w.join("shut", on("shut"))
	router := bridge.MAC(evil.r.Endpoints[0].Gateway)
	for six, way := range map[bool]struct {
		mine    netip.Addr
		victims []string
		heard   map[string]net.PacketConn
	}{
		false: {evil.r.Endpoints[0].IPv4.Addr(), []string{two.ip(), shut.ip(), hostOutside},
			map[string]net.PacketConn{neighbour: hear(t, w.outside, neighbour), "10.79.1.1": hear(t, nil, "10.79.1.1")}},
		true: {evil.r.Endpoints[0].IPv6.Addr(), []string{two.r.Endpoints[0].IPv6.Addr().String(), shut.r.Endpoints[0].IPv6.Addr().String(), host6},
			map[string]net.PacketConn{neighbour6: hear(t, w.outside, neighbour6), "fd00:79:1::1": hear(t, nil, "fd00:79:1::1")}},
	} {
		for to, c := range way.heard {
			for _, victim := range way.victims {
				dst := netip.MustParseAddr(to)
				// What it says under its own address comes after, and does come.
				evil.throw(through(router, evil.mac(), netip.MustParseAddr(victim), dst, "took"), through(router, evil.mac(), way.mine, dst, "done"))
				if err := c.SetReadDeadline(time.Now().Add(long)); err != nil {
					t.Fatal(err)
				}
				for buf, n := make([]byte, 9), 0; string(buf[:n]) != "done"; {
					var err error
					if n, _, err = c.ReadFrom(buf); err != nil {
						t.Fatalf("IPv6 %v, to %s: %v", six, to, err)
					}
					if string(buf[:n]) == "took" {
						t.Errorf("what was sent as %s came to %s", victim, to)
					}
				}
			}
		}
	}
}

// throw sends Ethernet frames from eth0.
func (c *container) throw(frames ...[]byte) {
	c.w.t.Helper()
	err := ns.WithNetNS(c.ns, func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: eth0.Index}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.w.t.Fatal(err)
	}
}
