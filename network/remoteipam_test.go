package network

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/plugin"
)

// addresses is an IPAM plugin with one pool, 10.66.0.0/24, that hands out
// addresses from .50 on and gateways from .1.
type addresses struct {
	mu      sync.Mutex
	next    byte
	out     map[string]bool // addresses
	pools   int
	macs    []string
	options map[string]string
	replay  bool
}

func (a *addresses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var q struct {
		Pool, PoolID, Address string
		Options               map[string]string
		V6                    bool
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	refuse := func(text string) { answer(map[string]string{"Err": text}) }
	switch strings.TrimPrefix(r.URL.Path, "/") {
	case "Plugin.Activate":
		answer(map[string]any{"Implements": []string{"IpamDriver"}})
	case "IpamDriver.GetCapabilities":
		answer(map[string]bool{"RequiresMACAddress": true, "RequiresRequestReplay": a.replay})
	case "IpamDriver.GetDefaultAddressSpaces":
		answer(map[string]string{"LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "there"})
	case "IpamDriver.RequestPool":
		if q.V6 || q.Pool != "" && q.Pool != "10.66.0.0/24" {
			refuse("no such pool")
			return
		}
		a.pools++
		a.options = q.Options
		answer(map[string]any{"PoolID": "one", "Pool": "10.66.0.0/24"})
	case "IpamDriver.ReleasePool":
		a.pools--
		answer(map[string]any{})
	case "IpamDriver.RequestAddress":
		at := q.Address
		if at == "" && q.Options[optAddressType] == gatewayAddress {
			at = "10.66.0.1"
		} else if at == "" {
			at = fmt.Sprintf("10.66.0.%d", 50+a.next)
			a.next++
		}
		if a.out[at] {
			refuse("address is taken")
			return
		}
		if mac := q.Options[optMAC]; mac != "" {
			a.macs = append(a.macs, mac)
		}
		a.out[at] = true
		answer(map[string]string{"Address": at + "/24"})
	case "IpamDriver.ReleaseAddress":
		delete(a.out, q.Address)
		answer(map[string]any{})
	default:
		http.NotFound(w, r)
	}
}

func (a *addresses) left() (list []string, pools int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for x := range a.out {
		list = append(list, x)
	}
	slices.Sort(list)
	return list, a.pools
}

// TestRemoteIPAM: subnets, gateways and addresses are a plugin's.
func TestRemoteIPAM(t *testing.T) {
	a := &addresses{out: map[string]bool{}}
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "adr.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: a} //nolint:gosec // a test's
	defer server.Close()
	go func() { _ = server.Serve(l) }() // until Close
	w := newWorld(t, func(o *Options) { o.Plugins = plugin.New(plugin.Options{Sockets: dir, Specs: []string{}}) })
	before := settled(t)
	with := func(c ...nettypes.IPAMConfig) *nettypes.CreateRequest {
		return &nettypes.CreateRequest{Name: "n", IPAM: &nettypes.IPAM{Driver: "adr", Options: map[string]string{"k": "v"}, Config: c}}
	}
	for _, bad := range []struct {
		r    *nettypes.CreateRequest
		kind func(error) bool
		text string
	}{
		{&nettypes.CreateRequest{Name: "n", IPAM: &nettypes.IPAM{Driver: "nosuch"}}, errdefs.IsNotFound, "could not find plugin nosuch"},
		{with(nettypes.IPAMConfig{Subnet: netip.MustParsePrefix("10.67.0.0/24")}), func(error) bool { return true }, "remote: no such pool"},
	} {
		if _, err := w.m.Create(t.Context(), bad.r); err == nil || !bad.kind(err) || !strings.Contains(err.Error(), bad.text) {
			t.Errorf("%v", err)
		}
	}
	broken := with()
	broken.Options = map[string]string{optBridgeName: "up0"}
	if _, err := w.m.Create(t.Context(), broken); err == nil {
		t.Error("a link that is no bridge")
	}
	a.replay = true
	if _, err := w.m.Create(t.Context(), with()); !errdefs.IsNotImplemented(err) {
		t.Errorf("replay: %v", err)
	}
	a.replay = false
	if left, pools := a.left(); len(left) != 0 || pools != 0 {
		t.Errorf("left: %v, %d pools", left, pools)
	}
	w.sameAs(before)

	id := w.create(*with())
	if a.options["k"] != "v" {
		t.Errorf("options: %v", a.options)
	}
	x, y := w.join("x", on("n")), w.join("y", Desired{Networks: []EndpointSpec{{Name: "n", IPv4: netip.MustParseAddr("10.66.0.200")}}})
	if x.ip() != "10.66.0.50" || y.ip() != "10.66.0.200" || x.r.Endpoints[0].Gateway.String() != "10.66.0.1" {
		t.Errorf("%+v, %+v", x.r.Endpoints, y.r.Endpoints)
	}
	if len(a.macs) != 2 || a.macs[0] != x.r.Endpoints[0].MAC {
		t.Errorf("hardware addresses: %v, the interface's is %s", a.macs, x.r.Endpoints[0].MAC)
	}
	x.serve(80, "x")
	w.want(y.ns, "tcp", "10.66.0.50:80", "x 10.66.0.200")
	there := settled(t)
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "z", Networks: []EndpointSpec{{Name: "n", IPv4: netip.MustParseAddr("10.66.0.200")}}}); err == nil || !strings.Contains(err.Error(), "address is taken") {
		t.Errorf("taken: %v", err)
	}
	w.sameAs(there)

	// The next engine knows what is whose.
	w.crash()
	w.start()
	w.adopt(x, y)
	if left, _ := a.left(); !slices.Equal(left, []string{"10.66.0.1", "10.66.0.200", "10.66.0.50"}) {
		t.Errorf("the plugin has given out %v", left)
	}
	for _, c := range []*container{x, y} {
		if err := w.m.Detach(t.Context(), c.id); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.m.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if left, pools := a.left(); len(left) != 0 || pools != 0 {
		t.Errorf("left: %v, %d pools", left, pools)
	}
}
