package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/ipam"
)

func (w *world) create(r nettypes.CreateRequest) string {
	w.t.Helper()
	got, err := w.m.Create(w.t.Context(), &r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.m.Remove(context.Background(), got.ID); err != nil && !errdefs.IsNotFound(err) {
			w.t.Error(err)
		}
	})
	return got.ID
}

func (w *world) join(id string, d Desired) *container {
	w.t.Helper()
	d.ID, d.Name = id, id
	for i := range d.Networks {
		d.Networks[i].Names = []string{id}
	}
	f, r, err := w.m.Attach(w.t.Context(), d)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &container{w, id, f, r}
	w.t.Cleanup(func() {
		if err := w.m.Detach(context.Background(), id); err != nil {
			w.t.Error(err)
		}
		f.Close()
	})
	return c
}

func subnets(list ...string) *nettypes.IPAM {
	out := &nettypes.IPAM{}
	for _, s := range list {
		out.Config = append(out.Config, nettypes.IPAMConfig{Subnet: netip.MustParsePrefix(s)})
	}
	return out
}

func subnet(prefix, gateway string, aux map[string]string) *nettypes.IPAM {
	c := nettypes.IPAMConfig{Subnet: netip.MustParsePrefix(prefix), AuxAddress: map[string]netip.Addr{}}
	if gateway != "" {
		c.Gateway = netip.MustParseAddr(gateway)
	}
	for name, a := range aux {
		c.AuxAddress[name] = netip.MustParseAddr(a)
	}
	return &nettypes.IPAM{Config: []nettypes.IPAMConfig{c}}
}

func on(names ...string) Desired {
	var d Desired
	for _, n := range names {
		d.Networks = append(d.Networks, EndpointSpec{Name: n})
	}
	return d
}

// TestNetworks: containers reach those on their networks, by name, and no
// others; published ports follow the way out.
func TestNetworks(t *testing.T) {
	w := newWorld(t)
	w.create(nettypes.CreateRequest{Name: "one", IPAM: subnets("10.77.1.0/24")})
	w.create(nettypes.CreateRequest{Name: "two", IPAM: subnets("10.77.2.0/24")})
	d := on("one")
	d.Ports = []PortSpec{tcp("", 8080, 80)}
	a, b := w.join("a", d), w.join("b", on("two"))
	a.serve(80, "a")
	if got := a.ip(); got != "10.77.1.2" {
		t.Errorf("first address %s", got)
	}
	w.want(nil, "tcp", "10.77.1.2:80", "a 10.77.1.1")
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.refused(b.ns, "tcp", "10.77.1.2:80")

	// A second network, whose gateway takes over: the ports move there.
	r, err := w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: "two", Names: []string{"a", "alias"}, GwPriority: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Endpoints) != 2 || r.Endpoints[1].Interface != "eth1" {
		t.Fatalf("endpoints %+v", r.Endpoints)
	}
	if got := in(t, a.ns, "ip route show default"); !strings.Contains(got, "via 10.77.2.1 dev eth1") {
		t.Errorf("routes: %s", got)
	}
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.want(b.ns, "tcp", "10.77.2.3:80", "a 10.77.2.2")
	if got := ask(b.ns, "udp", "alias", 1); got != "NOERROR 10.77.2.3" {
		t.Errorf("alias: %s", got)
	}
	if _, err := w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: "two"}, nil); !errdefs.IsPermissionDenied(err) {
		t.Errorf("connected twice: %v", err)
	}

	// The next engine knows all of it.
	w.crash()
	w.start()
	a.r = r
	w.adopt(a, b)
	if err := w.m.Remove(t.Context(), "two"); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), `network two has active endpoints (name:"a" id:`) {
		t.Errorf("remove a network in use: %v", err)
	}
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	if got := ask(b.ns, "udp", "alias", 1); got != "NOERROR 10.77.2.3" {
		t.Errorf("alias: %s", got)
	}

	if r, err = w.m.Disconnect(t.Context(), "a", a.ns, "two", nil); err != nil || len(r.Endpoints) != 1 {
		t.Fatalf("disconnect: %+v, %v", r.Endpoints, err)
	}
	if got := in(t, a.ns, "ip route show default; ip -br link"); !strings.Contains(got, "via 10.77.1.1 dev eth0") || strings.Contains(got, "eth1") {
		t.Errorf("after disconnect: %s", got)
	}
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	if got := ask(b.ns, "udp", "alias", 1); !strings.HasPrefix(got, "SERVFAIL") && !strings.HasPrefix(got, "NXDOMAIN") {
		t.Errorf("alias of one who left: %s", got)
	}
}

// TestDualStack: addresses of both families, from a local prefix where nobody
// names one, and ports led to both.
func TestDualStack(t *testing.T) {
	w := newWorld(t)
	yes := true
	id := w.create(nettypes.CreateRequest{Name: "six", EnableIPv6: &yes})
	a, b := w.join("a", on("six")), w.join("b", on("six"))
	e := a.r.Endpoints[0]
	if !e.IPv4.IsValid() || !e.IPv6.IsValid() || e.IPv6.Addr().As16()[0] != 0xfd || e.IPv6.Bits() != 64 || !e.Gateway6.IsValid() {
		t.Fatalf("endpoint %+v", e)
	}
	listenSix(t, a.ns, 80, "six")
	at := "[" + e.IPv6.Addr().String() + "]:80"
	w.want(b.ns, "tcp6", at, "six "+b.r.Endpoints[0].IPv6.Addr().String())
	w.want(nil, "tcp6", at, "six "+e.Gateway6.String())
	if got := in(t, b.ns, "ip -6 route show default"); !strings.Contains(got, "via "+e.Gateway6.String()) {
		t.Errorf("IPv6: %s", got)
	}
	n, err := w.m.Inspect(id)
	if err != nil || len(n.IPAM.Config) != 2 || len(n.Containers) != 2 || !n.EnableIPv6 {
		t.Errorf("inspect: %+v, %v", n, err)
	}
}

func TestListNetworks(t *testing.T) {
	w := newWorld(t)
	one := w.create(nettypes.CreateRequest{Name: "one", Labels: map[string]string{"a": "1"}})
	w.create(nettypes.CreateRequest{Name: "two", Internal: true})
	w.join("x", on("two"))
	for text, want := range map[string][]string{
		"":               {"bridge", "host", "none", "one", "two"},
		"name=o":         {"host", "none", "one", "two"},
		"driver=bridge":  {"bridge", "one", "two"},
		"label=a":        {"one"},
		"label=a=2":      nil,
		"label!=a":       {"bridge", "host", "none", "two"},
		"type=custom":    {"one", "two"},
		"type=builtin":   {"bridge", "host", "none"},
		"dangling=true":  {"one"},
		"dangling=false": {"bridge", "host", "none", "two"},
		"scope=swarm":    nil,
		"id=" + one[:20]: {"one"},
		"id=^" + one[1:]: nil,
		"name=^o":        {"one"},
		"name=^one$":     {"one"},
		"name=^on$":      nil,
		"name=t.o|ne":    {"none", "one", "two"},
		"name=(":         nil,
	} {
		f := Filters{}
		if key, value, ok := strings.Cut(text, "="); ok {
			f[key] = map[string]bool{value: true}
		}
		list, err := w.m.List(f)
		var got []string
		for _, n := range list {
			got = append(got, n.Name)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, bad := range []Filters{{"x": {"y": true}}, {"type": {"y": true}}, {"dangling": {"maybe": true}}} {
		if _, err := w.m.List(bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	w.create(nettypes.CreateRequest{Name: "later", ConfigOnly: true})
	report, err := w.m.PruneUnused(t.Context(), nil)
	if err != nil || !slices.Equal(report.NetworksDeleted, []string{"one"}) {
		t.Errorf("prune: %v, %v", report, err)
	}
}

// TestNetworkByPrefix: the beginning of an ID is enough for networks of every
// kind, if no other begins like it.
func TestNetworkByPrefix(t *testing.T) {
	w := newWorld(t)
	for i := range 14 { // with the three that always exist: two begin alike
		w.create(nettypes.CreateRequest{Name: fmt.Sprint("net", i), ConfigOnly: true})
	}
	list, err := w.m.List(nil)
	if err != nil {
		t.Fatal(err)
	}
	begin := map[string][]string{}
	for _, n := range list {
		begin[n.ID[:1]] = append(begin[n.ID[:1]], n.Name)
		if got, err := w.m.Inspect(n.ID[:8]); err != nil || got.Name != n.Name {
			t.Errorf("%s by %s: %s, %v", n.Name, n.ID[:8], got.Name, err)
		}
	}
	for _, digit := range strings.Split("0123456789abcdef", "") {
		got, err := w.m.Inspect(digit)
		switch names := begin[digit]; len(names) {
		case 0:
			if !errdefs.IsNotFound(err) {
				t.Errorf("nobody begins with %s: %v", digit, err)
			}
		case 1:
			if err != nil || got.Name != names[0] {
				t.Errorf("%s begins with %s: %s, %v", names[0], digit, got.Name, err)
			}
		default:
			want := fmt.Sprintf("network %s is ambiguous (%d matches found based on ID prefix)", digit, len(names))
			if !errdefs.IsInvalidArgument(err) || err.Error() != want {
				t.Errorf("%v begin with %s: %v", names, digit, err)
			}
		}
	}
}

// TestSubnetsInOrder: the IPv4 subnet is shown first, whatever the order of the
// request.
func TestSubnetsInOrder(t *testing.T) {
	w := newWorld(t)
	yes := true
	id := w.create(nettypes.CreateRequest{Name: "six", EnableIPv6: &yes, IPAM: subnets("fd77::/64", "10.77.1.0/24")})
	n, err := w.m.Inspect(id)
	if err != nil || len(n.IPAM.Config) != 2 || n.IPAM.Config[0].Subnet.String() != "10.77.1.0/24" || n.IPAM.Config[1].Subnet.String() != "fd77::/64" {
		t.Errorf("%+v, %v", n.IPAM.Config, err)
	}
}

// TestBadNetworks: what cannot be had is said with Docker's words, and changes
// nothing.
func TestBadNetworks(t *testing.T) {
	w := newWorld(t)
	w.create(nettypes.CreateRequest{Name: "there", IPAM: subnets("10.77.1.0/24")})
	before := settled(t)
	no := false
	opt := func(key, value string) map[string]string { return map[string]string{key: value} }
	for name, c := range map[string]struct {
		r    nettypes.CreateRequest
		kind func(error) bool
		text string
	}{
		"no name":      {nettypes.CreateRequest{}, errdefs.IsInvalidArgument, "network name"},
		"name":         {nettypes.CreateRequest{Name: "../x"}, errdefs.IsInvalidArgument, "invalid network name"},
		"predefined":   {nettypes.CreateRequest{Name: "none"}, errdefs.IsPermissionDenied, "operation is not permitted on predefined none network"},
		"twice":        {nettypes.CreateRequest{Name: "there"}, errdefs.IsConflict, "network with name there already exists"},
		"overlap":      {nettypes.CreateRequest{Name: "x", IPAM: subnets("10.77.0.0/16")}, errdefs.IsPermissionDenied, "Pool overlaps with other one on this address space"},
		"default's":    {nettypes.CreateRequest{Name: "x", IPAM: subnets("172.17.0.0/24")}, errdefs.IsPermissionDenied, "Pool overlaps"},
		"host bits":    {nettypes.CreateRequest{Name: "x", IPAM: subnets("10.0.0.1/24")}, errdefs.IsInvalidArgument, "it should be 10.0.0.0/24"},
		"gateway":      {nettypes.CreateRequest{Name: "x", IPAM: subnet("10.1.0.0/24", "10.1.0.0", nil)}, errdefs.IsPermissionDenied, "failed to allocate gateway (10.1.0.0): Address already in use"},
		"broadcast":    {nettypes.CreateRequest{Name: "x", IPAM: subnet("10.1.0.0/24", "10.1.0.255", nil)}, errdefs.IsPermissionDenied, "failed to allocate gateway (10.1.0.255)"},
		"aux":          {nettypes.CreateRequest{Name: "x", IPAM: subnet("10.1.0.0/24", "10.1.0.1", opt("a", "10.1.0.1"))}, errdefs.IsPermissionDenied, "failed to allocate secondary ip address (a:10.1.0.1): Address already in use"},
		"aux twice":    {nettypes.CreateRequest{Name: "x", IPAM: subnet("10.1.0.0/24", "", map[string]string{"a": "10.1.0.2", "b": "10.1.0.2"})}, errdefs.IsPermissionDenied, "failed to allocate secondary ip address (b:10.1.0.2)"},
		"two subnets":  {nettypes.CreateRequest{Name: "x", IPAM: subnets("10.1.0.0/24", "10.2.0.0/24")}, errdefs.IsPermissionDenied, "multiple subnets"},
		"no family":    {nettypes.CreateRequest{Name: "x", EnableIPv4: &no}, errdefs.IsInvalidArgument, "must be enabled"},
		"swarm":        {nettypes.CreateRequest{Name: "x", Scope: "swarm"}, errdefs.IsPermissionDenied, "not a swarm manager"},
		"ingress":      {nettypes.CreateRequest{Name: "x", Ingress: true}, errdefs.IsPermissionDenied, "not a swarm manager"},
		"macvlan":      {nettypes.CreateRequest{Name: "x", Driver: "macvlan", Options: opt(optMacvlanMode, "x")}, errdefs.IsInvalidArgument, "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default"},
		"ipvlan":       {nettypes.CreateRequest{Name: "x", Driver: "ipvlan", Options: opt(optIPvlanFlag, "x")}, errdefs.IsInvalidArgument, "requested ipvlan flag 'x' is not valid"},
		"ipvlan mode":  {nettypes.CreateRequest{Name: "x", Driver: "ipvlan", Options: opt(optIPvlanMode, "l4")}, errdefs.IsInvalidArgument, "requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default"},
		"lo":           {nettypes.CreateRequest{Name: "x", Driver: "macvlan", Options: opt(optParent, "lo")}, errdefs.IsInvalidArgument, "loopback interface is not a valid macvlan parent link"},
		"no parent":    {nettypes.CreateRequest{Name: "x", Driver: "macvlan", Options: opt(optParent, "nosuch")}, errdefs.IsFailedPrecondition, "parent interface nosuch was not found on the host"},
		"VLAN's":       {nettypes.CreateRequest{Name: "x", Driver: "macvlan", Options: opt(optParent, "nosuch.7")}, errdefs.IsFailedPrecondition, "parent interface nosuch of VLAN 7 was not found on the host"},
		"VLAN":         {nettypes.CreateRequest{Name: "x", Driver: "macvlan", Options: opt(optParent, "up0.4095")}, errdefs.IsInvalidArgument, "vlan id must be between 1-4094, received: 4095"},
		"not a VLAN":   {nettypes.CreateRequest{Name: "x", Driver: "macvlan", Options: opt(optParent, "up0.x")}, errdefs.IsInvalidArgument, "unable to parse a valid vlan id from: x"},
		"driver":       {nettypes.CreateRequest{Name: "x", Driver: "nosuch"}, errdefs.IsNotFound, "could not find plugin nosuch"},
		"IPAM option":  {nettypes.CreateRequest{Name: "x", IPAM: &nettypes.IPAM{Options: opt("a", "b")}}, errdefs.IsInvalidArgument, `IPAM option "a": the default IPAM driver has none`},
		"option":       {nettypes.CreateRequest{Name: "x", Options: opt("nosuch", "1")}, errdefs.IsInvalidArgument, `unknown option "nosuch"`},
		"mode":         {nettypes.CreateRequest{Name: "x", Options: opt(optGateway4, "x")}, errdefs.IsInvalidArgument, "unknown gateway mode x"},
		"isolated":     {nettypes.CreateRequest{Name: "x", Options: opt(optGateway4, "isolated")}, errdefs.IsInvalidArgument, "internal network"},
		"MTU":          {nettypes.CreateRequest{Name: "x", Options: opt(optMTU, "67")}, errdefs.IsInvalidArgument, `invalid MTU "67"`},
		"parent's MTU": {nettypes.CreateRequest{Name: "x", Driver: "macvlan", Options: opt(optMTU, "-1")}, errdefs.IsInvalidArgument, `invalid MTU "-1"`},
		"trusted":      {nettypes.CreateRequest{Name: "x", Options: opt(optTrusted, "eth0:a-name-that-is-too-long")}, errdefs.IsInvalidArgument, `invalid interface name "a-name-that-is-too-long"`},
		"link":         {nettypes.CreateRequest{Name: "x", Options: opt(optBridgeName, "a/b")}, errdefs.IsInvalidArgument, "invalid interface name"},
		"link's taken": {nettypes.CreateRequest{Name: "x", Options: opt(optBridgeName, "berth0")}, errdefs.IsPermissionDenied, "already has bridge name"},
		"not a bridge": {nettypes.CreateRequest{Name: "x", Options: opt(optBridgeName, "up0")}, errdefs.IsFailedPrecondition, "not a bridge"},
		"config-from":  {nettypes.CreateRequest{Name: "x", ConfigFrom: &nettypes.ConfigReference{Network: "there"}}, errdefs.IsNotFound, "configuration network"},
	} {
		if _, err := w.m.Create(t.Context(), &c.r); !c.kind(err) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for ref, kind := range map[string]func(error) bool{
		"nosuch": errdefs.IsNotFound, "bridge": errdefs.IsPermissionDenied, "host": errdefs.IsPermissionDenied,
		w.m.fixed["host"]: errdefs.IsPermissionDenied, w.m.fixed["none"][:12]: errdefs.IsPermissionDenied,
	} {
		if err := w.m.Remove(t.Context(), ref); !kind(err) {
			t.Errorf("remove %s: %v", ref, err)
		}
		if _, err := w.m.WouldRemove(ref); !kind(err) {
			t.Errorf("would remove %s: %v", ref, err)
		}
	}
	w.sameAs(before)
}

// TestPoolsEnd: when the pools have no more, a request is refused at once.
func TestPoolsEnd(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Pools = ipam.Areas{{Base: netip.MustParsePrefix("10.99.0.0/24"), Bits: 28}}
	})
	if got := w.m.home.bridge.Address().Masked().String(); got != "10.99.0.0/28" {
		t.Errorf("default network %s", got)
	}
	made := 0
	for {
		r, err := w.m.Create(t.Context(), &nettypes.CreateRequest{Name: "n" + newID()})
		if errdefs.IsInvalidArgument(err) && strings.Contains(err.Error(), "all predefined address pools have been fully subnetted") {
			break
		}
		if err != nil || made > 100 {
			t.Fatal(made, err)
		}
		made++
		defer func() {
			if err := w.m.Remove(context.Background(), r.ID); err != nil {
				t.Error(err)
			}
		}()
	}
	if made != 15 {
		t.Errorf("%d networks", made)
	}
}

// TestReadyWhereWanted: namespaces are made ready on the bridge where the last
// was wanted, with its settings. They outlive it, and serve others.
func TestReadyWhereWanted(t *testing.T) {
	w := newWorld(t)
	w.create(nettypes.CreateRequest{Name: "own", IPAM: subnets("10.77.1.0/24"), Options: map[string]string{
		"com.docker.network.bridge.name": "own0", "com.docker.network.driver.mtu": "1300", "com.docker.network.bridge.enable_icc": "false",
	}})
	ready := func(master string) int {
		return strings.Count(dump(t, "ip -br link show master "+master), "veth")
	}
	w.until("the pool is full", func() bool { return ready("berth0") == bridge.DefaultPool })
	a := w.join("a", on("own"))
	b := w.join("b", on("own"))
	a.serve(80, "a")
	// Each start takes one from berth0, and has one made ready in its place.
	w.until("two are ready on the bridge", func() bool { return ready("own0") == 2+2 && ready("berth0") == 2 })
	for range 3 {
		x := w.join("x", on("own"))
		if got := in(t, x.ns, "ip link show eth0"); !strings.Contains(got, "mtu 1300") {
			t.Errorf("inside: %s", got)
		}
		w.refused(x.ns, "tcp", a.ip()+":80")
		w.want(nil, "tcp", a.ip()+":80", "a 10.77.1.1")
		if err := w.m.Detach(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*container{a, b} {
		if err := w.m.Detach(t.Context(), c.id); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.m.Remove(t.Context(), "own"); err != nil {
		t.Fatal(err)
	}
	c, d := w.attach("c", tcp("", 8080, 80)), w.attach("d")
	c.serve(80, "c")
	w.want(d.ns, "tcp", c.ip()+":80", "c "+d.ip())
	w.want(w.outside, "tcp", hostOutside+":8080", "c "+neighbour)
	if got := in(t, d.ns, "ip link show eth0"); strings.Contains(got, "mtu 1300") {
		t.Errorf("inside: %s", got)
	}
	w.until("two are ready on the default bridge", func() bool { return ready("berth0") == 2+2 })
}
