package network

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	nettypes "github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// inject sends Ethernet frames from a container's eth0, as a process with
// NET_RAW can, and after them a datagram to a neighbour: when that has come, so
// would they have.
func (c *container) inject(to *container, frames ...[]byte) {
	t := c.w.t
	t.Helper()
	var heard net.PacketConn
	err := ns.WithNetNS(to.ns, func() (err error) {
		heard, err = net.ListenPacket("udp4", to.ip()+":9")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	c.throw(frames...)
	err = ns.WithNetNS(c.ns, func() error {
		end, err := net.Dial("udp4", to.ip()+":9")
		if err != nil {
			return err
		}
		defer end.Close()
		_, err = end.Write([]byte("end"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := heard.SetReadDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	for {
		buf := make([]byte, 9)
		n, from, err := heard.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) == "end" {
			return
		}
		c.w.stolen = from.(*net.UDPAddr).IP.String()
	}
}

var everybody = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func frame(to, from net.HardwareAddr, proto uint16, tags int, body []byte) []byte {
	b := append(append([]byte(nil), to...), from...)
	for range tags { // empty ones, of a priority alone
		b = append(b, 0x81, 0, 0x20, 0)
	}
	return append(binary.BigEndian.AppendUint16(b, proto), body...)
}

// claim is an ARP answer to a neighbour that an address is at a MAC.
func claim(to *container, a string, mac net.HardwareAddr, tags int) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 2}
	b = append(append(b, mac...), netip.MustParseAddr(a).AsSlice()...)
	b = append(append(b, to.mac()...), netip.MustParseAddr(to.ip()).AsSlice()...)
	return frame(to.mac(), mac, unix.ETH_P_ARP, tags, b)
}

func sum(parts ...[]byte) uint16 {
	n := uint32(0)
	all := bytes.Join(parts, nil)
	for i := 0; i+1 < len(all); i += 2 {
		n += uint32(binary.BigEndian.Uint16(all[i:]))
	}
	for n > 0xffff {
		n = n&0xffff + n>>16
	}
	return ^uint16(n)
}

// icmp6 is a frame with a message of ICMPv6 to all nodes of the link.
func icmp6(mac net.HardwareAddr, from string, body []byte) []byte {
	src, dst := netip.MustParseAddr(from).AsSlice(), netip.MustParseAddr("ff02::1").AsSlice()
	pseudo := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(body[2:], sum(src, dst, pseudo, body))
	h := []byte{0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_ICMPV6, 255}
	return frame(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6, 0, append(append(append(h, src...), dst...), body...))
}

// advert is an unasked neighbour advertisement.
func advert(from, a string, mac net.HardwareAddr) []byte {
	b := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, netip.MustParseAddr(a).AsSlice()...)
	return icmp6(mac, from, append(append(b, 2, 1), mac...))
}

// router is a router advertisement.
func router(from string, mac net.HardwareAddr) []byte {
	b := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	return icmp6(mac, from, append(append(b, 1, 1), mac...))
}

// datagram is one from an address, to port 9.
func datagram(c, to *container, from string) []byte {
	h := []byte{0x45, 0, 0, 32, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	h = append(append(h, netip.MustParseAddr(from).AsSlice()...), netip.MustParseAddr(to.ip()).AsSlice()...)
	binary.BigEndian.PutUint16(h[10:], sum(h))
	return frame(to.mac(), c.mac(), unix.ETH_P_IP, 0, append(h, 0, 9, 0, 9, 0, 12, 0, 0, 't', 'o', 'o', 'k'))
}

func (c *container) mac() net.HardwareAddr {
	mac, err := net.ParseMAC(c.r.Endpoints[0].MAC)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return mac
}

// knows makes a container look for an address, and tells at which MAC it has it.
func (c *container) knows(a string) string {
	c.w.t.Helper()
	return in(c.w.t, c.ns, "ip neigh show "+a+" | sed 's/.*lladdr \\([^ ]*\\).*/\\1/'")
}

// TestSpoofing: what a container with NET_RAW says about others' addresses is
// not heard, and it is no router. Without the guard each of the attacks works,
// or they would show nothing.
func TestSpoofing(t *testing.T) {
	w := newWorld(t)
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprint("guarded ", guarded), func(t *testing.T) {
			w.t = t
			name, on6 := fmt.Sprint("net-", guarded), true
			r := nettypes.CreateRequest{Name: name, EnableIPv6: &on6, IPAM: subnets("10.79.1.0/24", "fd00:79::/64"), Options: map[string]string{optGuard: fmt.Sprint(guarded)}}
			w.create(r)
			evil, a, b := w.join("evil", on(name)), w.join("a", on(name)), w.join("b", on(name))
			a.serve(80, "a")
			w.attack(guarded, evil, a, b)
			if !guarded {
				return
			}
			w.crash()
			w.attack(guarded, evil, a, b)
			w.start()
			w.attack(guarded, evil, a, b)
			w.adopt(evil, a, b)
			w.attack(guarded, evil, a, b)
		})
	}
	w.t = t
}

func (w *world) attack(guarded bool, evil, a, b *container) {
	t := w.t
	t.Helper()
	a6 := a.r.Endpoints[0].IPv6.Addr().String()
	gateway, gateway6 := a.r.Endpoints[0].Gateway.String(), a.r.Endpoints[0].Gateway6.String()
	evil6 := linkLocal(evil.mac()).String()
	listening := func(from *container) {
		t.Helper()
		w.want(from.ns, "tcp", a.ip()+":80", "a "+from.ip())
	}
	listening(b)
	// What it learns is believed at once.
	in(t, b.ns, "sysctl -qw net.ipv6.conf.eth0.accept_ra=2 net.ipv4.neigh.eth0.locktime=0")
	for what, c := range map[string]struct {
		frame []byte
		done  func() bool // it worked
	}{
		"the gateway's address, by ARP":         {claim(b, gateway, evil.mac(), 0), func() bool { return b.has(gateway, evil) }},
		"a neighbour's address, by ARP":         {claim(b, a.ip(), evil.mac(), 0), func() bool { return b.has(a.ip(), evil) }},
		"the same, below empty VLAN tags":       {claim(b, a.ip(), evil.mac(), 2), func() bool { return b.has(a.ip(), evil) }},
		"the gateway's address, by discovery":   {advert(evil6, gateway6, evil.mac()), func() bool { return b.has(gateway6, evil) }},
		"a neighbour's address, by discovery":   {advert(evil6, a6, evil.mac()), func() bool { return b.has(a6, evil) }},
		"a router":                              {router(evil6, evil.mac()), func() bool { return strings.Contains(in(t, b.ns, "ip -6 route"), "proto ra") }},
		"a neighbour's hardware address":        {frame(everybody, a.mac(), 0x88b5, 0, make([]byte, 46)), func() bool { return w.behind(a.mac()) == evil.r.Endpoints[0].HostLink }},
		"a datagram with a neighbour's address": {datagram(evil, b, a.ip()), func() bool { return w.stolen == a.ip() }},
	} {
		in(t, b.ns, "ip neigh flush all; ip -6 route flush proto ra")
		for _, address := range []string{a.ip(), gateway, a6, gateway6} {
			_, _ = call(b.ns, "tcp", net.JoinHostPort(address, "1"), long) // refused, but known from now on
		}
		w.stolen = ""
		if !guarded {
			w.until(what+" is taken", func() bool {
				evil.inject(b, c.frame)
				return c.done()
			})
			continue
		}
		for range 3 {
			if evil.inject(b, c.frame); c.done() {
				t.Errorf("%s was taken", what)
			}
		}
		listening(b)
		listening(evil)
	}
}

// TestFlood: a container that sends under ever new hardware addresses does not have
// the host remember them all, and disturbs nobody.
func TestFlood(t *testing.T) {
	var major, minor int
	if _, err := fmt.Sscanf(sh(t, "uname -r"), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	bounded := major > 6 || major == 6 && minor >= 7
	w := newWorld(t)
	evil, a := w.attach("evil"), w.attach("a")
	frames := make([][]byte, 5000)
	for i := range frames {
		frames[i] = frame(a.mac(), net.HardwareAddr{2, 0, 0, 1, byte(i >> 8), byte(i)}, 0x88b5, 0, make([]byte, 46))
	}
	for ; len(frames) > 0; frames = frames[500:] {
		evil.inject(a, frames[:500]...)
	}
	if got := strings.Count(sh(t, "bridge fdb show br berth0"), "\n"); got < 1000 || bounded && got > 1200 {
		t.Errorf("the bridge knows %d hardware addresses", got)
	}
	a.serve(80, "a")
	b := w.attach("b")
	w.want(b.ns, "tcp", a.ip()+":80", "a "+b.ip())
	w.want(evil.ns, "tcp", a.ip()+":80", "a "+evil.ip())
}

// TestUnspoofed: what a guard must let through.
func TestUnspoofed(t *testing.T) {
	w := newWorld(t)
	on6 := true
	w.create(nettypes.CreateRequest{Name: "front", EnableIPv6: &on6, IPAM: subnets("10.79.1.0/24", "fd00:79::/64")})
	w.create(nettypes.CreateRequest{Name: "back", IPAM: subnets("10.79.2.0/24")})
	d := on("front")
	d.Networks[0].IPv4, d.Networks[0].IPv6 = netip.MustParseAddr("10.79.1.77"), netip.MustParseAddr("fd00:79::77")
	d.Networks[0].MAC = net.HardwareAddr{2, 1, 2, 3, 4, 5}
	d.Networks[0].LinkLocal = []netip.Addr{netip.MustParseAddr("169.254.7.7"), netip.MustParseAddr("fe80::7:7")}
	d.Ports = []PortSpec{tcp("", 8080, 80)}
	a, b, far := w.join("a", d), w.join("b", on("front", "back")), w.join("far", on("back"))
	a.serve(80, "a")
	for _, address := range []string{"10.79.1.77", "169.254.7.7"} {
		in(t, b.ns, "ip route replace 169.254.0.0/16 dev eth0")
		if _, err := call(b.ns, "tcp", address+":80", long); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	w.want(nil, "tcp", "127.0.0.1:8080", "a 10.79.1.1")
	w.want(a.ns, "tcp", hostOutside+":8080", "a 10.79.1.1")
	for _, address := range []string{"fd00:79::77", "fe80::7:7%eth0", linkLocal(d.Networks[0].MAC).String() + "%eth0"} {
		if _, err := call(b.ns, "tcp", "["+address+"]:1", long); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", address, err)
		}
	}
	// An address that nobody has is free, and can move.
	for _, c := range []*container{a, b} {
		in(t, c.ns, "ip addr add 10.79.1.200/32 dev eth0")
		listen(t, c.ns, 200, c.id)
		w.until("the virtual address is "+c.id+"'s", func() bool {
			sh(t, "ip neigh flush to 10.79.1.200")
			got, err := call(nil, "tcp", "10.79.1.200:200", short)
			return err == nil && strings.HasPrefix(got, c.id)
		})
		in(t, c.ns, "ip addr del 10.79.1.200/32 dev eth0")
	}
	// A container may be a router for those who want it.
	in(t, b.ns, "sysctl -qw net.ipv4.ip_forward=1")
	in(t, far.ns, "ip route add 10.79.1.0/24 via "+b.r.Endpoints[1].IPv4.Addr().String())
	in(t, a.ns, "ip route add 10.79.2.0/24 via "+b.ip())
	w.want(far.ns, "tcp", "10.79.1.77:80", "a "+far.ip())
}

// has tells whether a container looks for an address at another's MAC.
func (c *container) has(address string, at *container) bool {
	return strings.TrimSpace(c.knows(address)) == at.mac().String()
}

// behind is the port of a bridge behind which it sees a MAC.
func (w *world) behind(mac net.HardwareAddr) string {
	w.t.Helper()
	f := strings.Fields(sh(w.t, "bridge fdb show | grep -i '^"+mac.String()+" .*master' | head -1"))
	if len(f) < 3 {
		return ""
	}
	return f[2]
}
