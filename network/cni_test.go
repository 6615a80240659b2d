package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"
)

// cniWorld is an engine that finds configurations of the real plugin bridge,
// each with a link and a subnet of its own, and where their leases are.
func cniWorld(t *testing.T) (w *world, leases string) {
	if _, err := os.Stat("/usr/lib/cni/bridge"); err != nil {
		t.Skip("no CNI plugins on this machine")
	}
	conf, leases := t.TempDir(), t.TempDir()
	bridge := func(name, link, subnet, more string) {
		text := `{"cniVersion": "1.0.0", "name": "` + name + `", "plugins": [{
			"type": "bridge", "bridge": "` + link + `", "isGateway": true, ` + more + `
			"ipam": {"type": "host-local", "dataDir": "` + leases + `", "ranges": [[{"subnet": "` + subnet + `"}]]}}]}`
		if err := os.WriteFile(filepath.Join(conf, name+".conflist"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bridge("far", "cnitest0", "10.89.0.0/24", `"isDefaultGateway": true,`)
	bridge("asked", "cnitest1", "10.90.0.0/24", `"capabilities": {"ips": true, "mac": true},`)
	w = newWorld(t, func(o *Options) { o.CNI.Conf = conf })
	t.Cleanup(func() { sh(t, "for l in cnitest0 cnitest1; do ip link del $l 2>/dev/null || true; done") }) // plugins leave them
	return w, leases
}

// cni is a network of a CNI configuration.
func cni(name, conf string) *nettypes.CreateRequest {
	return &nettypes.CreateRequest{Name: name, Driver: DriverCNI, Options: map[string]string{optConf: conf}}
}

// TestCNIRefused: configurations that nobody can work with.
func TestCNIRefused(t *testing.T) {
	w, _ := cniWorld(t)
	missing := filepath.Join(w.o.CNI.Conf, "missing.conflist")
	if err := os.WriteFile(missing, []byte(`{"cniVersion": "1.0.0", "name": "missing", "plugins": [{"type": "nosuch-plugin"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	before := settled(t)
	for _, c := range []struct {
		r    *nettypes.CreateRequest
		text string
	}{
		{cni("x", "elsewhere"), "elsewhere"},
		{cni("x", ""), "needs -o conf=NAME"},
		{cni("x", "/nosuch.conflist"), "no such file"},
		{cni("x", missing), "nosuch-plugin"},
		{&nettypes.CreateRequest{Name: "x", Driver: DriverCNI, Options: map[string]string{optConf: "far"}, IPAM: subnets("10.0.0.0/24")}, "are the CNI configuration's to say"},
	} {
		if _, err := w.m.Create(t.Context(), c.r); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	w.sameAs(before)
}

// TestCNI: a container on a network of the plugin, whose configuration was read
// when the network was made.
func TestCNI(t *testing.T) {
	w, _ := cniWorld(t)
	w.create(*cni("lan", "far"))
	if err := os.Remove(filepath.Join(w.o.CNI.Conf, "far.conflist")); err != nil {
		t.Fatal(err)
	}
	a := w.join("a", on("lan"))
	a.serve(80, "a")
	e := a.r.Endpoints[0]
	if !netip.MustParsePrefix("10.89.0.0/24").Contains(e.IPv4.Addr()) || e.Gateway.String() != "10.89.0.1" || e.Interface != "eth0" || e.MAC == "" {
		t.Errorf("endpoint %+v", e)
	}
	w.want(nil, "tcp", a.ip()+":80", "a 10.89.0.1")
	if got := in(t, a.ns, "ip route show default"); strings.Count(got, "default") != 1 || !strings.Contains(got, "via 10.89.0.1 dev eth0") {
		t.Errorf("routes: %s", got)
	}
	for _, wish := range []EndpointSpec{{Name: "lan", IPv4: netip.MustParseAddr("10.89.0.9")}, {Name: "lan", MAC: []byte{2, 0, 0, 0, 0, 1}}, {Name: "lan", LinkLocal: []netip.Addr{netip.MustParseAddr("169.254.9.9")}}} {
		if _, _, err := w.m.Attach(t.Context(), Desired{ID: "b", Networks: []EndpointSpec{wish}}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", wish, err)
		}
	}
}

// TestCNIAsked: what plugins say that they heed, they are asked for.
func TestCNIAsked(t *testing.T) {
	w, _ := cniWorld(t)
	w.create(*cni("asked", "asked"))
	d := Desired{Networks: []EndpointSpec{{Name: "asked", IPv4: netip.MustParseAddr("10.90.0.77"), MAC: []byte{2, 0, 0, 0, 9, 1}}}}
	x := w.join("asked", d)
	if got := in(t, x.ns, "ip addr show eth0"); !strings.Contains(got, "10.90.0.77/24") || !strings.Contains(got, "02:00:00:00:09:01") || x.ip() != "10.90.0.77" {
		t.Errorf("asked for: %+v, %s", x.r.Endpoints, got)
	}
	there := settled(t)
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "y", Networks: d.Networks}); err == nil {
		t.Error("two have one address")
	}
	w.sameAs(there)
	if err := w.m.Detach(t.Context(), "asked"); err != nil {
		t.Fatal(err)
	}
}

// TestCNILive: a container joins while it runs, beside the default network, and
// leaves under the next engine. Nothing of the plugin's is left.
func TestCNILive(t *testing.T) {
	w, leases := cniWorld(t)
	w.create(*cni("lan", "far"))
	a := w.join("a", on("lan"))
	c := w.attach("c", tcp("", 8080, 80))
	c.serve(80, "c")
	r, err := w.m.Connect(t.Context(), "c", c.ns, EndpointSpec{Name: "lan"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.want(a.ns, "tcp", r.Endpoints[1].IPv4.Addr().String()+":80", "c "+a.ip())
	w.crash()
	w.start()
	w.adopt(a, &container{w, "c", c.ns, r})
	if _, err := w.m.Disconnect(t.Context(), "c", c.ns, "lan", nil); err != nil {
		t.Fatal(err)
	}
	if got := in(t, c.ns, "ip -br link; ip route show default"); strings.Contains(got, "eth1") || !strings.Contains(got, "via 172.17.0.1") {
		t.Errorf("inside: %s", got)
	}
	w.want(nil, "tcp", "127.0.0.1:8080", "c 172.17.0.1")
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(leases, "far", "10.*")); err != nil || len(left) > 0 {
		t.Errorf("leases left: %v, %v", left, err)
	}
	if left, err := filepath.Glob(filepath.Join(w.o.DataRoot, "network/cni/results/*")); err != nil || len(left) > 0 {
		t.Errorf("results left: %v, %v", left, err)
	}
}
