package network

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/network/nft"
)

// TestHomeSix: the default network has IPv6, in and out, and the same subnet
// from one engine to the next.
func TestHomeSix(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Home.IPv6 = true })
	sh(t, "ip addr add fd77::1/64 dev up0 nodad; ip -6 route add default via fd77::2")
	in(t, w.outside, "ip addr add fd77::2/64 dev eth0 nodad; ip -6 route add default via fd77::1")
	a, b := w.attach("a", tcp("", 8080, 80)), w.attach("b")
	a.serve(81, "four")
	listenSix(t, a.ns, 80, "a")
	e := a.r.Endpoints[0]
	if !e.IPv6.IsValid() || e.Gateway6 != firstOf(e.IPv6).Addr() || e.IPv6.Bits() != 64 || !e.IPv4.IsValid() {
		t.Fatalf("endpoint %+v", e)
	}
	w.want(b.ns, "tcp6", fmt.Sprintf("[%s]:80", e.IPv6.Addr()), "a "+b.r.Endpoints[0].IPv6.Addr().String())
	w.want(w.outside, "tcp6", "[fd77::1]:8080", "a fd77::2")
	w.refused(w.outside, "tcp6", fmt.Sprintf("[%s]:80", e.IPv6.Addr()))
	listenSix(t, w.outside, 7, "outside")
	w.want(b.ns, "tcp6", "[fd77::2]:7", "outside fd77::1")
	n, err := w.m.Inspect(DefaultNetwork)
	if err != nil || !n.EnableIPv6 || len(n.IPAM.Config) != 2 || n.IPAM.Config[1].Subnet != e.IPv6.Masked() {
		t.Errorf("%+v, %v", n.Network, err)
	}

	w.crash()
	w.start()
	w.adopt(a, b)
	w.want(w.outside, "tcp6", "[fd77::1]:8080", "a fd77::2")
	c := w.attach("c")
	if got := c.r.Endpoints[0].IPv6; got.Masked() != e.IPv6.Masked() || got == e.IPv6 || got == b.r.Endpoints[0].IPv6 {
		t.Errorf("address %s beside %s", got, e.IPv6)
	}
}

// TestHomeSixNamed: as the administrator says.
func TestHomeSixNamed(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Home = HomeOptions{
			IPv6: true, BIP6: netip.MustParsePrefix("fd55::5/64"), Range6: netip.MustParsePrefix("fd55::100/120"), Gateway6: netip.MustParseAddr("fd55::9"),
		}
	})
	a := w.attach("a")
	if e := a.r.Endpoints[0]; e.IPv6.String() != "fd55::100/64" || e.Gateway6.String() != "fd55::9" {
		t.Errorf("endpoint %+v", e)
	}
	if got := in(t, a.ns, "ip -6 route show default"); !strings.Contains(got, "via fd55::9 dev eth0") {
		t.Errorf("routes: %s", got)
	}
}

// TestHomeRange: where containers' addresses are from, and their way out.
func TestHomeRange(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Home = HomeOptions{Range: netip.MustParsePrefix("172.30.4.0/24")}
	})
	if got := w.m.home.bridge.Address().String(); got != "172.30.4.1/24" {
		t.Errorf("default network %s", got)
	}
	w.stop()
	w.o.Home = HomeOptions{BIP: netip.MustParsePrefix("172.30.0.1/16"), Range: netip.MustParsePrefix("172.30.4.0/30"), Gateway: netip.MustParseAddr("172.30.9.9")}
	w.start()
	a := w.attach("a")
	if e := a.r.Endpoints[0]; e.IPv4.String() != "172.30.4.0/16" || e.Gateway.String() != "172.30.9.9" {
		t.Errorf("endpoint %+v", e)
	}
	n, err := w.m.Inspect(DefaultNetwork)
	if err != nil || n.IPAM.Config[0].AuxAddress[auxGateway4].String() != "172.30.9.9" || n.IPAM.Config[0].IPRange.String() != "172.30.4.0/30" {
		t.Errorf("%+v, %v", n.IPAM, err)
	}
	for i := range 3 {
		w.attach(fmt.Sprint("more", i))
	}
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "full"}); err == nil || !strings.Contains(err.Error(), "no available IPv4 addresses") {
		t.Errorf("a fifth of four: %v", err)
	}
	w.o.Home.Gateway = netip.MustParseAddr("10.0.0.1")
	if _, err := New(context.Background(), w.o); err == nil || !strings.Contains(err.Error(), "outside subnet") {
		t.Errorf("a gateway elsewhere: %v", err)
	}
}

// TestHostAddress: by which address the host is reached that a container knows as
// host-gateway, whatever its way out is.
func TestHostAddress(t *testing.T) {
	w := newWorld(t)
	w.create(nettypes.CreateRequest{Name: "in", Internal: true, IPAM: subnets("10.77.1.0/24")})
	other := subnets("10.77.2.0/24")
	other.Config[0].AuxAddress = map[string]netip.Addr{auxGateway4: netip.MustParseAddr("10.77.2.99")}
	w.create(nettypes.CreateRequest{Name: "other", IPAM: other})
	w.create(lanOf("lan", DriverMacvlan))
	accept(t, nil, "tcp4", ":7", caller("host"))
	if got := w.m.HostAddress(&Result{}).String(); got != "172.17.0.1" {
		t.Errorf("on the host's own network: %s", got)
	}
	for i, c := range []struct {
		networks []string
		want     string
	}{
		{[]string{DefaultNetwork}, "172.17.0.1"},
		{[]string{"in"}, "10.77.1.1"},
		{[]string{"other"}, "10.77.2.1"},
		{[]string{"lan", "in"}, "10.77.1.1"},
		{[]string{DefaultNetwork, "other"}, "172.17.0.1"},
	} {
		a := w.join(fmt.Sprint(i), on(c.networks...))
		got := w.m.HostAddress(&a.r).String()
		if got != c.want {
			t.Errorf("on %v: %s, want %s", c.networks, got, c.want)
		}
		if answer, err := call(a.ns, "tcp", got+":7", long); err != nil || !strings.HasPrefix(answer, "host ") {
			t.Errorf("on %v: %s says %q, %v", c.networks, got, answer, err)
		}
	}
	if got := w.m.HostAddress(&w.join("lan", on("lan")).r).String(); got != "172.17.0.1" {
		t.Errorf("on the host's network outside: %s", got)
	}
}

// TestHomeNoICC: containers of the default network are apart, also those that
// ran before the setting; networks of their own are as ever.
func TestHomeNoICC(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("a", tcp("", 8080, 80)), w.attach("b")
	a.serve(80, "a")
	w.want(b.ns, "tcp", a.ip()+":80", "a "+b.ip())
	w.crash()
	w.o.Home.NoICC = true
	w.start()
	w.adopt(a, b)
	c := w.attach("c")
	w.refused(b.ns, "tcp", a.ip()+":80")
	w.refused(c.ns, "tcp", a.ip()+":80")
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.create(nettypes.CreateRequest{Name: "own", IPAM: subnets("10.77.1.0/24")})
	x, y := w.join("x", on("own")), w.join("y", on("own"))
	x.serve(80, "x")
	w.want(y.ns, "tcp", x.ip()+":80", "x "+y.ip())
}

// TestHomeNoMasquerade: containers go out under their own addresses; and ports
// are published where the setting says.
func TestHomeNoMasquerade(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Home = HomeOptions{NoMasquerade: true, Binding: netip.MustParseAddr("127.0.0.1")}
	})
	a := w.attach("a", tcp("", 8080, 80))
	a.serve(80, "a")
	listen(t, w.outside, 7, "outside")
	w.want(a.ns, "tcp", neighbour+":7", "outside "+a.ip())
	w.want(nil, "tcp", "127.0.0.1:8080", "a 172.17.0.1")
	w.refused(w.outside, "tcp", hostOutside+":8080")
	if got := strings.Join(bindings(a.r), " "); got != "127.0.0.1:8080->80/tcp" {
		t.Errorf("bindings %s", got)
	}
}

// TestDirect: who is outside reaches published ports at containers' addresses,
// and others where the packet has the right mark; other networks do not.
func TestDirect(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Direct, o.Accept = true, nft.Match{Mark: 1, Mask: 3}
	})
	w.create(nettypes.CreateRequest{Name: "own", IPAM: subnets("10.77.1.0/24")})
	a, x := w.attach("a", tcp("", 8080, 80)), w.join("x", on("own"))
	a.serve(80, "a")
	a.serve(99, "unpublished")
	w.want(w.outside, "tcp", a.ip()+":80", "a "+neighbour)
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.refused(w.outside, "tcp", a.ip()+":99")
	w.refused(x.ns, "tcp", a.ip()+":80")
	sh(t, `nft 'table inet marks { chain c { type filter hook prerouting priority mangle; iifname "up0" tcp dport 99 meta mark set 5; }; }'`)
	defer sh(t, "nft delete table inet marks")
	w.want(w.outside, "tcp", a.ip()+":99", "unpublished "+neighbour)
}

// TestNoForward: the switch is the administrator's.
func TestNoForward(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.NoForward = true })
	a := w.attach("a")
	listen(t, w.outside, 7, "outside")
	w.refused(a.ns, "tcp", neighbour+":7")
	sh(t, "echo 1 > /proc/sys/net/ipv4/ip_forward")
	w.want(a.ns, "tcp", neighbour+":7", "outside "+hostOutside)
}

func TestLastAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bridge.address")
	if got := lastAddress(path); got.IsValid() {
		t.Errorf("no file: %s", got)
	}
	for content, want := range map[string]string{"172.20.0.1/16\n": "172.20.0.1/16", "nonsense": "invalid Prefix", "": "invalid Prefix"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lastAddress(path); got.String() != want {
			t.Errorf("%q: got %s, want %s", content, got, want)
		}
	}
}
