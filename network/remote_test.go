package network

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/plugin"
)

// pluginSocket is set in the process that is a network driver for the tests.
const pluginSocket = "BERTH_TEST_PLUGIN"

// beDriver is a network driver: a bridge with the gateway's address, and a veth
// for each endpoint. It writes each call into a file beside its socket.
func beDriver(socket string) error {
	calls, err := os.OpenFile(socket+".calls", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	run := func(line string) string {
		if out, err := exec.Command("sh", "-ec", line).CombinedOutput(); err != nil {
			return fmt.Sprintf(`{"Err": %q}`, fmt.Sprintf("%s: %v: %s", line, err, out))
		}
		return `{}`
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var q struct {
			NetworkID, EndpointID, SandboxKey string
			IPv4Data                          []area
			Options                           map[string]any
		}
		_ = json.NewDecoder(req.Body).Decode(&q)
		method := strings.TrimPrefix(req.URL.Path, "/")
		fmt.Fprintln(calls, method)
		answer := `{}`
		link := "pl" + (q.EndpointID + "        ")[:8]
		switch method {
		case "Plugin.Activate":
			answer = `{"Implements": ["NetworkDriver"]}`
		case "NetworkDriver.GetCapabilities":
			answer = `{"Scope": "local"}`
		case "NetworkDriver.CreateNetwork":
			if generic, _ := q.Options["com.docker.network.generic"].(map[string]any); generic["fail"] != nil {
				answer = `{"Err": "as you wish"}`
				break
			}
			answer = run("ip link add plug0 type bridge; ip addr add " + q.IPv4Data[0].Gateway + " dev plug0; ip link set plug0 up")
		case "NetworkDriver.DeleteNetwork":
			answer = run("ip link del plug0")
		case "NetworkDriver.CreateEndpoint":
			answer = `{"Interface": {"MacAddress": "02:00:00:00:77:01"}}`
			if q.Options["fail"] != nil {
				answer = `{"Interface": {"Address": "192.0.2.1/24"}}`
			}
		case "NetworkDriver.Join":
			if _, err := os.Stat(q.SandboxKey); err != nil {
				answer = fmt.Sprintf(`{"Err": %q}`, err)
				break
			}
			if answer = run(fmt.Sprintf("ip link add %sh type veth peer name %s; ip link set %sh master plug0 up", link, link, link)); answer == `{}` {
				answer = fmt.Sprintf(`{"InterfaceName": {"SrcName": %q, "DstPrefix": "plug"}, "Gateway": "10.88.0.1", "StaticRoutes": [{"Destination": "10.99.0.0/16", "RouteType": 1}]}`, link)
			}
		case "NetworkDriver.DeleteEndpoint":
			answer = run("ip link del " + link + "h 2>/dev/null || true")
		case "NetworkDriver.EndpointOperInfo":
			answer = `{"Value": {"com.docker.network.endpoint.macaddress": "02:00:00:00:77:09"}}`
		case "NetworkDriver.ProgramExternalConnectivity":
			fmt.Fprintln(calls, "ports", q.Options["com.docker.network.portmap"])
		case "NetworkDriver.RevokeExternalConnectivity", "NetworkDriver.Leave":
		default:
			http.NotFound(w, req)
			return
		}
		fmt.Fprint(w, answer)
	}))
}

// driverProcess starts the driver, called plug, and returns what it was called.
func driverProcess(t *testing.T) (*plugin.Registry, func() string) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "plug.sock")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), pluginSocket+"="+socket)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		}
		if cmd.ProcessState != nil {
			t.Fatal("the driver has ended")
		}
	}
	return plugin.New(plugin.Options{Sockets: dir, Specs: []string{}}), func() string {
		data, _ := os.ReadFile(socket + ".calls")
		return string(data)
	}
}

// far is an engine with a network of the driver's.
func far(t *testing.T) (w *world, calls func() string) {
	plugins, calls := driverProcess(t)
	w = newWorld(t, func(o *Options) { o.Plugins = plugins })
	w.create(nettypes.CreateRequest{Name: "far", Driver: "plug", IPAM: subnets("10.88.0.0/16"), Options: map[string]string{"any": "thing"}})
	return w, calls
}

// wantCalls compares how often the driver was called.
func wantCalls(t *testing.T, log string, want map[string]int) {
	t.Helper()
	for call, n := range want {
		if got := strings.Count(log, "NetworkDriver."+call+"\n"); got != n {
			t.Errorf("%s: %d calls, want %d\n%s", call, got, n, log)
		}
	}
}

// TestRemoteRefused: a network that its driver refuses, or that has none, leaves
// nothing.
func TestRemoteRefused(t *testing.T) {
	plugins, calls := driverProcess(t)
	w := newWorld(t, func(o *Options) { o.Plugins = plugins })
	before := settled(t)
	bad := nettypes.CreateRequest{Name: "x", Driver: "plug", IPAM: subnets("10.88.0.0/16"), Options: map[string]string{"fail": "1"}}
	if _, err := w.m.Create(t.Context(), &bad); err == nil || !strings.Contains(err.Error(), "remote: as you wish") {
		t.Errorf("refused by the driver: %v", err)
	}
	bad.Driver = "nosuch"
	if _, err := w.m.Create(t.Context(), &bad); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "could not find plugin nosuch") {
		t.Errorf("no driver: %v", err)
	}
	w.sameAs(before)
	wantCalls(t, calls(), map[string]int{"CreateNetwork": 1, "DeleteNetwork": 0})
}

// TestRemote: a container on a network whose driver is a plugin.
func TestRemote(t *testing.T) {
	w, calls := far(t)
	a := w.join("a", publishing("", "far", tcp("127.0.0.1", 8099, 80)))
	if got := calls(); !strings.Contains(got, "ports [map[HostIP:127.0.0.1 HostPort:8099 HostPortEnd:8099 IP: Port:80 Proto:6]]") {
		t.Errorf("told of ports: %s", got)
	}
	a.serve(80, "a")
	if e := a.r.Endpoints[0]; e.IPv4.String() != "10.88.0.2/16" || e.MAC != "02:00:00:00:77:01" || e.Interface != "plug0" || e.Gateway.String() != "10.88.0.1" {
		t.Errorf("endpoint %+v", e)
	}
	w.want(nil, "tcp", "10.88.0.2:80", "a 10.88.0.1")
	if got := in(t, a.ns, "ip route; ip link show plug0"); !strings.Contains(got, "default via 10.88.0.1 dev plug0") || !strings.Contains(got, "10.99.0.0/16 dev plug0") || !strings.Contains(got, "02:00:00:00:77:01") {
		t.Errorf("inside: %s", got)
	}
	w.leave("a", "far")
	wantCalls(t, calls(), map[string]int{
		"CreateNetwork": 1, "DeleteNetwork": 1, "CreateEndpoint": 1, "DeleteEndpoint": 1, "Join": 1, "Leave": 1, "EndpointOperInfo": 1,
		"ProgramExternalConnectivity": 1, "RevokeExternalConnectivity": 1,
	})
}

// leave ends a container, and removes the network that it was on.
func (w *world) leave(id, network string) {
	w.t.Helper()
	if err := w.m.Detach(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
	if err := w.m.Remove(w.t.Context(), network); err != nil {
		w.t.Fatal(err)
	}
}

// TestRemoteLive: a container joins the network while it runs. It becomes the way
// out by a change, and is so no longer.
func TestRemoteLive(t *testing.T) {
	w, calls := far(t)
	c := w.attach("c", tcp("", 8080, 80))
	c.serve(80, "c")
	there := settled(t)
	if _, err := w.m.Connect(t.Context(), "c", c.ns, EndpointSpec{Name: "far", DriverOpts: map[string]string{"fail": "1"}}, nil); err == nil || !strings.Contains(err.Error(), "driver modified interface") {
		t.Errorf("another address than asked for: %v", err)
	}
	w.sameAs(there)
	r, err := w.m.Connect(t.Context(), "c", c.ns, EndpointSpec{Name: "far"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.want(nil, "tcp", r.Endpoints[1].IPv4.Addr().String()+":80", "c 10.88.0.1")
	told := func() (programmed, revoked int) {
		log := calls()
		return strings.Count(log, "ProgramExternalConnectivity"), strings.Count(log, "RevokeExternalConnectivity")
	}
	if p, r := told(); p != 0 || r != 0 {
		t.Errorf("of a network that is not the way out, the plugin was told %d times, and %d", p, r)
	}

	ports := []PortSpec{tcp("", 8080, 80)}
	if r, err = w.m.Disconnect(t.Context(), "c", c.ns, DefaultNetwork, ports); err != nil {
		t.Fatal(err)
	}
	if p, v := told(); p != 1 || v != 0 || len(r.Ports) != 0 || !r.Endpoints[0].External {
		t.Errorf("told %d times, and %d; %+v", p, v, r)
	}
	if got := calls(); !strings.Contains(got, "ports [map[HostIP: HostPort:8080 HostPortEnd:8080 IP: Port:80 Proto:6]]") {
		t.Errorf("told of ports: %s", got)
	}
	if r, err = w.m.Connect(t.Context(), "c", c.ns, EndpointSpec{Name: DefaultNetwork}, ports); err != nil {
		t.Fatal(err)
	}
	if p, v := told(); p != 1 || v != 1 || len(r.Ports) != 2 || r.Endpoints[0].External {
		t.Errorf("told %d times, and %d; %+v", p, v, r)
	}
	w.want(nil, "tcp", "127.0.0.1:8080", "c 172.17.0.1")
	w.leave("c", "far")
	wantCalls(t, calls(), map[string]int{
		"CreateNetwork": 1, "DeleteNetwork": 1, "CreateEndpoint": 2, "DeleteEndpoint": 2, "Join": 1, "Leave": 1, "EndpointOperInfo": 1,
		"ProgramExternalConnectivity": 1, "RevokeExternalConnectivity": 1,
	})
}

// TestRemoteNextEngine: containers on the network live on under the next engine,
// and leave it.
func TestRemoteNextEngine(t *testing.T) {
	w, calls := far(t)
	a := w.join("a", publishing("", "far", tcp("127.0.0.1", 8099, 80)))
	c := w.attach("c", tcp("", 8080, 80))
	c.serve(80, "c")
	r, err := w.m.Connect(t.Context(), "c", c.ns, EndpointSpec{Name: "far"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.crash()
	w.start()
	w.adopt(a, &container{w, "c", c.ns, r})
	if _, err := w.m.Disconnect(t.Context(), "c", c.ns, "far", nil); err != nil {
		t.Fatal(err)
	}
	if got := in(t, c.ns, "ip -br link"); strings.Contains(got, "plug") {
		t.Errorf("still there: %s", got)
	}
	w.want(nil, "tcp", "127.0.0.1:8080", "c 172.17.0.1")
	w.leave("a", "far")
	wantCalls(t, calls(), map[string]int{
		"CreateNetwork": 1, "DeleteNetwork": 1, "CreateEndpoint": 2, "DeleteEndpoint": 2, "Join": 2, "Leave": 2, "EndpointOperInfo": 2,
		"ProgramExternalConnectivity": 1, "RevokeExternalConnectivity": 1,
	})
}
