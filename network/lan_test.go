package network

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/kernel/ns"
)

// lanOf is a network on up0, the link to the neighbour outside.
func lanOf(name, driver string, opts ...string) nettypes.CreateRequest {
	r := nettypes.CreateRequest{Name: name, Driver: driver, Options: map[string]string{optParent: "up0"}, IPAM: &nettypes.IPAM{
		Config: []nettypes.IPAMConfig{{
			Subnet: netip.MustParsePrefix("198.51.100.0/24"), IPRange: netip.MustParsePrefix("198.51.100.64/26"), Gateway: netip.MustParseAddr(neighbour),
		}},
	}}
	for i := 0; i+1 < len(opts); i += 2 {
		r.Options[opts[i]] = opts[i+1]
	}
	return r
}

// createOrSkip skips the test on a kernel without links of the kind.
func (w *world) createOrSkip(r nettypes.CreateRequest) string {
	w.t.Helper()
	got, err := w.m.Create(w.t.Context(), &r)
	if errdefs.IsNotImplemented(err) {
		w.t.Skip(err)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.m.Remove(w.t.Context(), got.ID); err != nil && !errdefs.IsNotFound(err) {
			w.t.Error(err)
		}
	})
	return got.ID
}

// TestMacvlan: containers are on the host's network, under addresses of their
// own.
func TestMacvlan(t *testing.T) {
	w := newWorld(t)
	w.create(lanOf("lan", DriverMacvlan))
	d := on("lan")
	d.Ports = []PortSpec{tcp("", 8080, 80)} // as with Docker: nothing to publish
	a, b := w.join("a", d), w.join("b", on("lan"))
	if a.ip() != "198.51.100.64" || b.ip() != "198.51.100.65" || len(a.r.Ports) != 0 {
		t.Errorf("addresses %s, %s; ports %v", a.ip(), b.ip(), a.r.Ports)
	}
	a.serve(80, "a")
	listen(t, w.outside, 7, "outside")
	w.want(w.outside, "tcp", a.ip()+":80", "a "+neighbour)
	w.want(b.ns, "tcp", a.ip()+":80", "a "+b.ip())
	w.want(b.ns, "tcp", neighbour+":7", "outside "+b.ip())
	if got := ask(b.ns, "udp", "a", 1); got != "NOERROR "+a.ip() {
		t.Errorf("name: %s", got)
	}
	if got := in(t, a.ns, "ip -br link show dev eth0; ip route show default"); !strings.Contains(got, "02:42:c6:33:64:40") || !strings.Contains(got, "via "+neighbour+" dev eth0") {
		t.Errorf("eth0: %s", got)
	}
	// A second network of the same parent may be had, with a subnet of its own.
	other := lanOf("other", DriverMacvlan)
	if _, err := w.m.Create(t.Context(), &other); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "overlaps") {
		t.Errorf("the same subnet again: %v", err)
	}
	other.IPAM = subnets("10.77.9.0/24", "10.77.10.0/24")
	w.create(other)
	other.Name, other.IPAM, other.Options = "whole", subnets("10.77.11.0/24"), map[string]string{optParent: "up0", optMacvlanMode: "passthru"}
	if _, err := w.m.Create(t.Context(), &other); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "cannot use mode passthru, macvlan network ") {
		t.Errorf("passthru of a parent in use: %v", err)
	}
}

// TestMacvlanModes: who reaches whom.
func TestMacvlanModes(t *testing.T) {
	for _, mode := range []string{"bridge", "private", "vepa"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			w.create(lanOf("lan", DriverMacvlan, optMacvlanMode, mode))
			a, b := w.join("a", on("lan")), w.join("b", on("lan"))
			a.serve(80, "a")
			w.want(w.outside, "tcp", a.ip()+":80", "a "+neighbour)
			if mode == "bridge" {
				w.want(b.ns, "tcp", a.ip()+":80", "a "+b.ip())
			} else { // a switch that sends vepa's frames back is not there
				w.refused(b.ns, "tcp", a.ip()+":80")
			}
		})
	}
	t.Run("passthru", func(t *testing.T) {
		w := newWorld(t)
		w.create(lanOf("lan", DriverMacvlan, optMacvlanMode, "passthru"))
		a := w.join("a", on("lan"))
		a.serve(80, "a")
		w.want(w.outside, "tcp", a.ip()+":80", "a "+neighbour)
		before := settled(t)
		if _, _, err := w.m.Attach(t.Context(), Desired{ID: "b", Networks: []EndpointSpec{{Name: "lan"}}}); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "another container's") {
			t.Errorf("a second one: %v", err)
		}
		w.sameAs(before)
	})
}

// TestMacvlanLive: a container joins and leaves while it runs; the next engine
// knows of it; ports stay with the bridge.
func TestMacvlanLive(t *testing.T) {
	w := newWorld(t)
	w.create(lanOf("lan", DriverMacvlan))
	c := w.attach("c", tcp("", 8080, 80))
	c.serve(80, "c")
	mac, _ := netip.ParseAddr("198.51.100.99")
	r, err := w.m.Connect(t.Context(), "c", c.ns, EndpointSpec{Name: "lan", IPv4: mac, MAC: []byte{2, 0, 0, 0, 0, 9}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := r.Endpoints[1]; e.Interface != "eth1" || e.IPv4.String() != "198.51.100.99/24" || e.MAC != "02:00:00:00:00:09" || e.HostLink != "" {
		t.Errorf("endpoint %+v", e)
	}
	w.want(w.outside, "tcp", "198.51.100.99:80", "c "+neighbour)
	w.want(nil, "tcp", "127.0.0.1:8080", "c 172.17.0.1")
	before := settled(t)
	for ref, text := range map[string]string{"198.51.100.99": "Address already in use", "203.0.113.1": "no configured subnet"} {
		if _, _, err := w.m.Attach(t.Context(), Desired{ID: "d", Networks: []EndpointSpec{{Name: "lan", IPv4: netip.MustParseAddr(ref)}}}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("address %s: %v", ref, err)
		}
	}
	w.sameAs(before)

	w.crash()
	w.start()
	c.r = r
	w.adopt(c)
	w.want(w.outside, "tcp", "198.51.100.99:80", "c "+neighbour)
	if _, err := w.m.Disconnect(t.Context(), "c", c.ns, "lan", nil); err != nil {
		t.Fatal(err)
	}
	if got := in(t, c.ns, "ip -br link"); strings.Contains(got, "eth1") {
		t.Errorf("still there: %s", got)
	}
	w.refused(w.outside, "tcp", "198.51.100.99:80")
	w.want(nil, "tcp", "127.0.0.1:8080", "c 172.17.0.1")
}

// TestParentLater: an engine starts before the parent of a network is there.
func TestParentLater(t *testing.T) {
	w := newWorld(t)
	w.create(lanOf("lan", DriverMacvlan))
	w.stop()
	sh(t, "ip link set up0 down; ip link set up0 name away") // Linux before 6.2 renames no link that is up
	w.start()
	before := settled(t)
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "a", Networks: []EndpointSpec{{Name: "lan"}}}); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "parent interface up0 was not found on the host") {
		t.Errorf("without its parent: %v", err)
	}
	w.sameAs(before)
	sh(t, "ip link set away name up0; ip link set up0 up; ip route replace default via "+neighbour)
	a := w.join("a", on("lan"))
	a.serve(80, "a")
	w.want(w.outside, "tcp", a.ip()+":80", "a "+neighbour)
}

// TestMacvlanSix: routers are believed where nobody named one.
func TestMacvlanSix(t *testing.T) {
	w := newWorld(t)
	in(t, w.outside, "ip addr add fd77::1/64 dev eth0 nodad")
	yes := true
	r := lanOf("lan", DriverMacvlan)
	r.EnableIPv6 = &yes
	r.IPAM.Config = append(r.IPAM.Config, nettypes.IPAMConfig{Subnet: netip.MustParsePrefix("fd77::/64"), IPRange: netip.MustParsePrefix("fd77::100/120")})
	w.create(r)
	named := lanOf("named", DriverMacvlan)
	named.EnableIPv6, named.IPAM = &yes, subnets("10.77.1.0/24")
	named.IPAM.Config = append(named.IPAM.Config, nettypes.IPAMConfig{Subnet: netip.MustParsePrefix("fd78::/64"), Gateway: netip.MustParseAddr("fd78::9")})
	w.create(named)
	a, b := w.join("a", on("lan")), w.join("b", on("named"))
	listenSix(t, a.ns, 80, "a")
	w.want(w.outside, "tcp6", fmt.Sprintf("[%s]:80", a.r.Endpoints[0].IPv6.Addr()), "a fd77::1")
	w.until("an address of a router's prefix", func() bool {
		advertise(t, w.outside, "fd99::")
		return strings.Contains(in(t, a.ns, "ip -6 addr show dev eth0"), "fd99:")
	})
	if got := in(t, b.ns, "ip -6 addr show dev eth0; ip -6 route show default"); strings.Contains(got, "fd99:") || !strings.Contains(got, "via fd78::9") {
		t.Errorf("a router was believed although another was named: %s", got)
	}
}

// advertise sends a router's advertisement (RFC 4861, 4.2) of a prefix of 64
// bits from eth0 of a namespace.
func advertise(t *testing.T, f *os.File, prefix string) {
	t.Helper()
	m := make([]byte, 16+32)
	m[0], m[4], m[6], m[7] = 134, 64, 7, 8 // lifetime 1800 s
	o := m[16:]
	o[0], o[1], o[2], o[3] = 3, 4, 64, 0xc0 // prefix information: on link, autonomous
	for _, i := range []int{6, 7, 10, 11} {
		o[i] = 0xff
	}
	p := netip.MustParseAddr(prefix).As16()
	copy(o[16:], p[:])
	err := ns.WithNetNS(f, func() error {
		fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.IPPROTO_ICMPV6)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_MULTICAST_HOPS, 255); err != nil {
			return err
		}
		if err := syscall.BindToDevice(fd, "eth0"); err != nil {
			return err
		}
		to := &syscall.SockaddrInet6{Addr: [16]byte{0xff, 2, 15: 1}}
		return syscall.Sendto(fd, m, 0, to)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestVLAN: a sub-interface is made, shared, and goes with the last network.
func TestVLAN(t *testing.T) {
	w := newWorld(t)
	r := lanOf("lan", DriverMacvlan)
	r.Options[optParent] = "up0.10"
	r.IPAM = subnets("10.77.1.0/24")
	one := w.createOrSkip(r)
	r.Name, r.IPAM = "two", subnets("10.77.2.0/24")
	two := w.create(r)
	in(t, w.outside, "ip link add link eth0 name eth0.10 type vlan id 10; ip link set eth0.10 up; ip addr add 10.77.1.1/24 dev eth0.10")
	a := w.join("a", on("lan"))
	a.serve(80, "a")
	w.want(w.outside, "tcp", a.ip()+":80", "a 10.77.1.1")
	if err := w.m.Remove(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	w.want(w.outside, "tcp", a.ip()+":80", "a 10.77.1.1")
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	// One that was there is left alone; an engine that ends takes its own away.
	if err := w.m.Prune(t.Context(), nil); err != nil { // who runs is known
		t.Fatal(err)
	}
	w.stop()
	if got := sh(t, "ip -br link"); strings.Contains(got, "up0.10") {
		t.Errorf("the engine has ended: %s", got)
	}
	w.start()
	if err := w.m.Remove(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	sh(t, "ip link add link up0 name up0.10 type vlan id 10")
	defer sh(t, "ip link del up0.10")
	three := w.create(r)
	if err := w.m.Remove(t.Context(), three); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, "ip -br link show up0.10"); got == "" {
		t.Error("somebody else's link was removed")
	}
}

// TestAlone: without a parent, containers reach each other and nothing else.
func TestAlone(t *testing.T) {
	w := newWorld(t)
	id := w.createOrSkip(nettypes.CreateRequest{Name: "lan", Driver: DriverMacvlan, IPAM: subnets("10.77.1.0/24")})
	if got := sh(t, "ip -br link show dm-"+id[:12]); got == "" {
		t.Error("no parent")
	}
	a, b := w.join("a", on("lan")), w.join("b", on("lan"))
	if a.ip() != "10.77.1.1" { // no gateway, as in Docker
		t.Errorf("address %s", a.ip())
	}
	a.serve(80, "a")
	w.want(b.ns, "tcp", a.ip()+":80", "a "+b.ip())
	if got := in(t, a.ns, "ip route show default"); got != "" {
		t.Errorf("routes: %s", got)
	}
}

// TestIPvlan: all containers have the host's hardware address.
func TestIPvlan(t *testing.T) {
	for _, mode := range []string{"l2", "l3", "l3s"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			w.createOrSkip(lanOf("lan", DriverIPvlan, optIPvlanMode, mode))
			a, b := w.join("a", on("lan")), w.join("b", on("lan"))
			a.serve(80, "a")
			listen(t, w.outside, 7, "outside")
			if mode != "l2" { // no ARP: the neighbour must know the way
				in(t, w.outside, "ip route add 198.51.100.64/26 via "+hostOutside)
			}
			w.want(b.ns, "tcp", a.ip()+":80", "a "+b.ip())
			w.want(w.outside, "tcp", a.ip()+":80", "a "+neighbour)
			w.want(b.ns, "tcp", neighbour+":7", "outside "+b.ip())
			want := "via " + neighbour
			if mode != "l2" {
				want = "default dev eth0"
			}
			if got := in(t, a.ns, "ip route show default"); !strings.Contains(got, want) {
				t.Errorf("routes: %s", got)
			}
			if _, _, err := w.m.Attach(t.Context(), Desired{ID: "c", Networks: []EndpointSpec{{Name: "lan", MAC: []byte{2, 0, 0, 0, 0, 9}}}}); !errdefs.IsInvalidArgument(err) {
				t.Errorf("a chosen MAC address: %v", err)
			}
			again := lanOf("again", DriverIPvlan)
			again.IPAM = subnets("10.77.9.0/24")
			if _, err := w.m.Create(t.Context(), &again); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "is already using parent interface up0") {
				t.Errorf("a parent twice: %v", err)
			}
		})
	}
}

// TestIPvlanLive: a container whose way out is a link without a gateway gets another
// while it runs, and that one back.
func TestIPvlanLive(t *testing.T) {
	w := newWorld(t)
	w.createOrSkip(lanOf("lan", DriverIPvlan, optIPvlanMode, "l3"))
	a := w.join("a", on("lan"))
	routes := func(want string) {
		t.Helper()
		if got := in(t, a.ns, "ip route show default"); strings.Count(got, "default") != 1 || !strings.Contains(got, want) {
			t.Errorf("routes: %s; want %s", got, want)
		}
	}
	routes("default dev eth0")
	if _, err := w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: DefaultNetwork, GwPriority: 1}, nil); err != nil {
		t.Fatal(err)
	}
	routes("default via 172.17.0.1 dev eth1")
	if _, err := w.m.Disconnect(t.Context(), "a", a.ns, DefaultNetwork, nil); err != nil {
		t.Fatal(err)
	}
	routes("default dev eth0")
}
