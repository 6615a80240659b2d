package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// cable is a network driver and an IPAM driver: a bridge, a veth for each
// endpoint, and addresses from 10.92.0.50 on.
type cable struct {
	mu    sync.Mutex
	calls []string
	next  int
	given map[string]bool
}

func (c *cable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var q struct {
		EndpointID, Address string
		Options             map[string]any
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	method := strings.TrimPrefix(r.URL.Path, "/")
	c.calls = append(c.calls, method)
	answer := func(text string) { fmt.Fprint(w, text) }
	run := func(line, then string) {
		if out, err := exec.CommandContext(r.Context(), "sh", "-ec", line).CombinedOutput(); err != nil {
			then = fmt.Sprintf(`{"Err": %q}`, fmt.Sprintf("%s: %v: %s", line, err, out))
		}
		answer(then)
	}
	link := "cb" + (q.EndpointID + "        ")[:8]
	switch method {
	case "Plugin.Activate":
		answer(`{"Implements": ["NetworkDriver", "IpamDriver"]}`)
	case "NetworkDriver.GetCapabilities":
		answer(`{"Scope": "local"}`)
	case "NetworkDriver.CreateNetwork":
		run("ip link add cable0 type bridge; ip addr add 10.92.0.1/24 dev cable0; ip link set cable0 up", `{}`)
	case "NetworkDriver.DeleteNetwork":
		run("ip link del cable0", `{}`)
	case "NetworkDriver.Join":
		run(fmt.Sprintf("ip link add %[1]sh type veth peer name %[1]s; ip link set %[1]sh master cable0 up", link),
			fmt.Sprintf(`{"InterfaceName": {"SrcName": %q, "DstPrefix": "eth"}, "Gateway": "10.92.0.1"}`, link))
	case "NetworkDriver.DeleteEndpoint":
		run("ip link del "+link+"h 2>/dev/null || true", `{}`)
	case "IpamDriver.GetDefaultAddressSpaces":
		answer(`{"LocalDefaultAddressSpace": "l", "GlobalDefaultAddressSpace": "g"}`)
	case "IpamDriver.RequestPool":
		answer(`{"PoolID": "p", "Pool": "10.92.0.0/24"}`)
	case "IpamDriver.RequestAddress":
		at := q.Address
		switch {
		case at == "" && q.Options["RequestAddressType"] != nil:
			at = "10.92.0.1"
		case at == "":
			at = fmt.Sprintf("10.92.0.%d", 50+c.next)
			c.next++
		}
		c.given[at] = true
		answer(fmt.Sprintf(`{"Address": %q}`, at+"/24"))
	case "IpamDriver.ReleaseAddress":
		delete(c.given, q.Address)
		answer(`{}`)
	case "NetworkDriver.CreateEndpoint", "NetworkDriver.Leave", "NetworkDriver.ProgramExternalConnectivity",
		"NetworkDriver.RevokeExternalConnectivity", "IpamDriver.ReleasePool":
		answer(`{}`)
	default: // of what a plugin need not know
		http.NotFound(w, r)
	}
}

// TestNetworkPlugin: containers on a network whose driver is a plugin, and whose
// addresses are a plugin's, over the death of the engine.
func TestNetworkPlugin(t *testing.T) {
	c := &cable{given: map[string]bool{}}
	servePlugin(t, "cable", c)
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	must(t, d, "docker", "network", "create", "-d", "cable", "--ipam-driver", "cable", "far")
	must(t, d, "berth", "run", "-d", "--name", "web", "--network", "far", "-p", "127.0.0.1:8765:80", "busybox", "sh", "-c", "echo hello > /index.html; exec httpd -f -h /")
	ask := []string{"berth", "run", "--rm", "--network", "far", "busybox", "sh", "-c", "until wget -qO- http://web/; do :; done; ip -o addr show eth0"}
	if got := must(t, d, ask...); !strings.Contains(got, "hello") || !strings.Contains(got, "10.92.0.51/24") {
		t.Errorf("by name: %s", got)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := must(t, d, ask...); !strings.Contains(got, "hello") || !strings.Contains(got, "10.92.0.52/24") {
		t.Errorf("after the engine was killed: %s", got)
	}
	must(t, d, "berth", "rm", "-f", "web")
	must(t, d, "berth", "network", "rm", "far")
	noLeak(t, d, before)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.given) != 0 {
		t.Errorf("addresses that did not come back: %v", c.given)
	}
	for _, call := range []string{"NetworkDriver.ProgramExternalConnectivity", "NetworkDriver.RevokeExternalConnectivity", "NetworkDriver.EndpointOperInfo", "IpamDriver.ReleasePool"} {
		if !slices.Contains(c.calls, call) {
			t.Errorf("%s was not called: %v", call, c.calls)
		}
	}
}
