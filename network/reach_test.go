package network

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/kernel/ns"
)

func TestReach(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("a", tcp("", 8080, 80), tcp("127.0.0.1", 8081, 81)), w.attach("b")
	a.serve(80, "a")
	a.serve(81, "a81")
	a.serve(99, "unpublished")
	gateway := a.r.Endpoints[0].Gateway.String()
	if a.ip() != "172.17.0.2" || b.ip() != "172.17.0.3" || gateway != "172.17.0.1" {
		t.Errorf("addresses %s, %s, gateway %s", a.ip(), b.ip(), gateway)
	}
	if got := strings.Join(bindings(a.r), " "); got != "0.0.0.0:8080->80/tcp 127.0.0.1:8081->81/tcp :::8080->80/tcp" {
		t.Errorf("bindings %s", got)
	}

	// Container to container, and to the outside under the host's address.
	w.want(b.ns, "tcp", a.ip()+":80", "a "+b.ip())
	w.want(b.ns, "tcp", a.ip()+":99", "unpublished "+b.ip())
	listen(t, w.outside, 7, "outside")
	w.want(b.ns, "tcp", neighbour+":7", "outside "+hostOutside)

	// The host, by each of its addresses, and the container's.
	w.want(nil, "tcp", "127.0.0.1:8080", "a "+gateway)
	w.want(nil, "tcp", "127.0.0.1:8081", "a81 "+gateway)
	w.want(nil, "tcp", gateway+":8080", "a "+gateway)
	w.want(nil, "tcp", hostOutside+":8080", "a "+hostOutside)
	w.want(nil, "tcp", "[::1]:8080", "a "+gateway)
	w.want(nil, "tcp", a.ip()+":99", "unpublished "+gateway)

	// Other containers, and itself, through the host.
	w.want(b.ns, "tcp", gateway+":8080", "a "+gateway)
	w.want(b.ns, "tcp", hostOutside+":8080", "a "+gateway)
	w.want(a.ns, "tcp", gateway+":8080", "a "+gateway)

	// The neighbour: what is published, and nothing else.
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.refused(w.outside, "tcp", hostOutside+":8081")
	w.refused(w.outside, "tcp", a.ip()+":80")
	w.refused(w.outside, "tcp", a.ip()+":99")
}

// TestLoopbackIsLocal sends packets for 127.0.0.1 over the wire, as a hostile
// neighbour or container may, and packets that pretend to come from there.
func TestLoopbackIsLocal(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("a", tcp("127.0.0.1", 8081, 81)), w.attach("b")
	a.serve(81, "a")
	accept(t, nil, "tcp", "127.0.0.1:8082", caller("host"))
	w.want(nil, "tcp", "127.0.0.1:8081", "a 172.17.0.1")
	w.want(nil, "tcp", "127.0.0.1:8082", "host 127.0.0.1")
	for f, gateway := range map[*os.File]string{w.outside: hostOutside, b.ns: "172.17.0.1"} {
		got := in(t, f, `
			ip addr flush dev lo
			echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
			ip route add 127.0.0.1/32 via `+gateway+` dev eth0
			ip route get 127.0.0.1`)
		if !strings.Contains(got, gateway) {
			t.Fatalf("the attack does not leave: %s", got)
		}
		w.refused(f, "tcp", "127.0.0.1:8081")
		w.refused(f, "tcp", "127.0.0.1:8082")
	}

	heard, err := net.ListenPacket("udp4", "172.17.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	in(t, b.ns, "ip addr add 127.0.0.1/32 dev eth0")
	send := func(from string) {
		t.Helper()
		err := ns.WithNetNS(b.ns, func() error {
			c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP("172.17.0.1"), Port: 9})
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("hello"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	send("127.0.0.1")
	send(b.ip())
	if err := heard.SetReadDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	_, from, err := heard.ReadFrom(make([]byte, 9))
	if err != nil || from.(*net.UDPAddr).IP.String() != b.ip() {
		t.Errorf("the first datagram heard is from %v, %v", from, err)
	}
}

// TestForwardedTrafficIsNotOurs: a port published on the host must not catch
// connections of others through the host to the same port (CVE-2025-67499).
func TestForwardedTrafficIsNotOurs(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("a", tcp("", 7, 80)), w.attach("b")
	a.serve(80, "a")
	listen(t, w.outside, 7, "outside")
	w.want(b.ns, "tcp", neighbour+":7", "outside "+hostOutside)
	w.want(nil, "tcp", neighbour+":7", "outside "+hostOutside)
}

// TestNoRouter: the host forwarded nothing between its own links before, and
// does not now.
func TestNoRouter(t *testing.T) {
	sh(t, "ip link add lan0 type bridge; ip addr add 203.0.113.1/24 dev lan0; ip link set lan0 up")
	t.Cleanup(func() { sh(t, "ip link del lan0") })
	w := newWorld(t)
	if got := sh(t, "cat /proc/sys/net/ipv4/ip_forward"); got != "1\n" {
		t.Errorf("ip_forward is %q", got)
	}
	if got := sh(t, "nft list set inet berth apart4"); !strings.Contains(got, `"up0"`) || !strings.Contains(got, `"lan0"`) {
		t.Errorf("links kept apart: %s", got)
	}
	w.crash()
	w.start()
	if err := w.m.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, "nft list set inet berth apart4"); !strings.Contains(got, `"up0"`) || strings.Contains(got, "berth0") {
		t.Errorf("links kept apart after a restart: %s", got)
	}
}

// TestNoRouterSix: so it is with IPv6, which is switched on by the first network
// that has it. The links of containers that run by then come and go, and what they
// forward comes from their bridges: they are not among those that are kept apart.
func TestNoRouterSix(t *testing.T) {
	const forwarding = "/proc/sys/net/ipv6/conf/all/forwarding"
	was := strings.TrimSpace(sh(t, "cat "+forwarding))
	sh(t, "echo 0 > "+forwarding)
	t.Cleanup(func() { sh(t, "echo "+was+" > "+forwarding) })
	w := newWorld(t)
	a := w.attach("a")
	yes := true
	w.create(nettypes.CreateRequest{Name: "six", EnableIPv6: &yes})
	if got := sh(t, "cat "+forwarding); got != "1\n" {
		t.Errorf("forwarding is %q", got)
	}
	got := sh(t, "nft list set inet berth apart6")
	if !strings.Contains(got, `"up0"`) || strings.Contains(got, a.r.Endpoints[0].HostLink) || strings.Contains(got, "berth0") {
		t.Errorf("links kept apart: %s", got)
	}
}

func TestNamespace(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a")
	got := in(t, a.ns, "ip -br addr; ip route; cat /sys/class/net/eth0/address 2>/dev/null || true; cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip -o link show eth0")
	for _, want := range []string{"127.0.0.1/8", "172.17.0.2/16", "default via 172.17.0.1 dev eth0", "02:42:ac:11:00:02", "mtu 1400", "brd ff:ff:ff:ff:ff:ff"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "fe80::") {
		t.Errorf("an IPv6 address without IPv6:\n%s", got)
	}
	for _, link := range []string{"berth0", a.r.Endpoints[0].HostLink} {
		if got := sh(t, "ip -6 -o addr show dev "+link); got != "" {
			t.Errorf("%s has IPv6: %s", link, got)
		}
	}

	f, r, err := w.m.Attach(t.Context(), Desired{ID: "none", Mode: None})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(r.Endpoints) != 0 {
		t.Errorf("endpoints of none: %v", r.Endpoints)
	}
	if got := in(t, f, "ip -br addr"); !strings.HasPrefix(got, "lo") || strings.Count(got, "\n") != 1 || !strings.Contains(got, "127.0.0.1/8") {
		t.Errorf("links of none: %s", got)
	}
}
