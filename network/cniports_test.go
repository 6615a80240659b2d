package network

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// portmapWorld is an engine with two networks of CNI plugins: of mapped, the real
// plugin portmap leads published ports; of bare, nobody does.
func portmapWorld(t *testing.T) (w *world, leases string) {
	if _, err := os.Stat("/usr/lib/cni/portmap"); err != nil {
		t.Skip("no CNI plugins on this machine")
	}
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("the plugin portmap needs iptables")
	}
	conf, leases := t.TempDir(), t.TempDir()
	write := func(name, link, subnet, more string) {
		text := `{"cniVersion": "1.0.0", "name": "` + name + `", "plugins": [{
			"type": "bridge", "bridge": "` + link + `", "isGateway": true, "isDefaultGateway": true, "ipMasq": false,
			"ipam": {"type": "host-local", "dataDir": "` + leases + `", "ranges": [[{"subnet": "` + subnet + `"}]]}}` + more + `]}`
		if err := os.WriteFile(filepath.Join(conf, name+".conflist"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("mapped", "cnitest0", "10.89.0.0/24", `, {"type": "portmap", "capabilities": {"portMappings": true}}`)
	write("bare", "cnitest1", "10.90.0.0/24", "")
	w = newWorld(t, func(o *Options) { o.CNI.Conf = conf })
	t.Cleanup(func() {
		sh(t, `for l in cnitest0 cnitest1; do ip link del $l 2>/dev/null || true; done
			for t in nat filter mangle raw; do nft delete table ip $t 2>/dev/null || true; nft delete table ip6 $t 2>/dev/null || true; done`)
	})
	for _, name := range []string{"mapped", "bare"} {
		w.create(*cni(name, name))
	}
	return w, leases
}

// mappedBy is what the plugin portmap leads.
func mappedBy(t *testing.T) string {
	t.Helper()
	return sh(t, "iptables -t nat -S | grep -- '--dport' || true")
}

// TestCNIPorts: the plugin leads published ports; the engine holds them.
func TestCNIPorts(t *testing.T) {
	w, leases := portmapWorld(t)
	a := w.join("a", publishing("", "mapped", tcp("", 8080, 80), tcp("127.0.0.1", 0, 80)))
	a.serve(80, "a")
	if got := strings.Join(bindings(a.r), " "); !strings.Contains(got, "0.0.0.0:8080->80/tcp") || strings.Contains(got, ":0->") {
		t.Errorf("bindings %s", got)
	}
	if got := mappedBy(t); !strings.Contains(got, "--dport 8080") {
		t.Errorf("the plugin leads %q", got)
	}
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.want(nil, "tcp", "127.0.0.1:8080", "a 10.89.0.1")
	w.want(nil, "tcp", "[::1]:8080", "a 10.89.0.1") // berth-netd

	// Nobody else can have it.
	_, _, err := w.m.Attach(t.Context(), publishing("b", "mapped", tcp("", 8080, 80)))
	if p, ok := errors.AsType[*PortError](err); !ok || !p.Allocated {
		t.Errorf("a port of another: %v", err)
	}
	if _, _, err := w.m.Attach(t.Context(), publishing("b", "bare", tcp("", 8081, 80))); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "capability portMappings") {
		t.Errorf("no plugin for ports: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(leases, "bare", "10.*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	// Other ports, of what runs.
	if _, err := w.m.Republish(t.Context(), "a", a.ns, []PortSpec{tcp("", 8085, 80)}); err != nil {
		t.Fatal(err)
	}
	if got := mappedBy(t); !strings.Contains(got, "--dport 8085") || strings.Contains(got, "--dport 8080") {
		t.Errorf("after a change, the plugin leads %q", got)
	}
	w.want(w.outside, "tcp", hostOutside+":8085", "a "+neighbour)
}

// TestCNIPortsElsewhere: the plugin leads ports while its network is the
// container's way out. Another one takes over, over the end of an engine, and
// gives it back.
func TestCNIPortsElsewhere(t *testing.T) {
	w, _ := portmapWorld(t)
	ports := []PortSpec{tcp("", 8085, 80)}
	a := w.join("a", publishing("", "mapped", ports...))
	a.serve(80, "a")
	r, err := w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: DefaultNetwork, GwPriority: 1}, ports)
	if err != nil {
		t.Fatal(err)
	}
	if got := mappedBy(t); got != "" {
		t.Errorf("on another network, the plugin still leads %q", got)
	}
	w.want(w.outside, "tcp", hostOutside+":8085", "a "+neighbour)
	w.crash()
	w.start()
	w.adopt(&container{w, "a", a.ns, r})
	if r, err = w.m.Disconnect(t.Context(), "a", a.ns, DefaultNetwork, ports); err != nil {
		t.Fatal(err)
	}
	if got := mappedBy(t); !strings.Contains(got, "--dport 8085") || len(r.Endpoints) != 1 || !r.Endpoints[0].External {
		t.Errorf("back again, the plugin leads %q: %+v", got, r.Endpoints)
	}
	w.want(w.outside, "tcp", hostOutside+":8085", "a "+neighbour)
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := mappedBy(t); got != "" {
		t.Errorf("the plugin still leads %q", got)
	}
	for _, dir := range []string{"cni", "cni-ports"} {
		if left, err := filepath.Glob(filepath.Join(w.o.DataRoot, "network", dir, "results/*")); err != nil || len(left) > 0 {
			t.Errorf("results left: %v, %v", left, err)
		}
	}
}

// TestCNIPortsNowhere: a network that leads no ports cannot become the way out of
// who has some.
func TestCNIPortsNowhere(t *testing.T) {
	w, _ := portmapWorld(t)
	ports := []PortSpec{tcp("", 8085, 80)}
	w.join("first", on("bare")) // the plugin makes its bridge
	c := w.attach("c", ports...)
	c.serve(80, "c")
	there := settled(t)
	if _, err := w.m.Connect(t.Context(), "c", c.ns, EndpointSpec{Name: "bare", GwPriority: 1}, ports); !errdefs.IsInvalidArgument(err) {
		t.Errorf("ports that would lead nowhere: %v", err)
	}
	w.sameAs(there)
	w.want(w.outside, "tcp", hostOutside+":8085", "c "+neighbour)
}
