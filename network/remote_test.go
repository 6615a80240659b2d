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

// TestRemote: a network whose driver is a plugin.
func TestRemote(t *testing.T) {
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
	w.create(nettypes.CreateRequest{Name: "far", Driver: "plug", IPAM: subnets("10.88.0.0/16"), Options: map[string]string{"any": "thing"}})
	onFar := on("far")
	onFar.Ports = []PortSpec{tcp("127.0.0.1", 8099, 80)}
	a := w.join("a", onFar)
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

	// Live, and what cannot be.
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
	if p, r := told(); p != 1 || r != 0 {
		t.Errorf("of a network that is not the way out, the plugin was told %d times, and %d", p, r)
	}

	// It becomes the way out by a change, and is so no longer.
	ports := []PortSpec{tcp("", 8080, 80)}
	if r, err = w.m.Disconnect(t.Context(), "c", c.ns, DefaultNetwork, ports); err != nil {
		t.Fatal(err)
	}
	if p, v := told(); p != 2 || v != 0 || len(r.Ports) != 0 || !r.Endpoints[0].External {
		t.Errorf("told %d times, and %d; %+v", p, v, r)
	}
	if got := calls(); !strings.Contains(got, "ports [map[HostIP: HostPort:8080 HostPortEnd:8080 IP: Port:80 Proto:6]]") {
		t.Errorf("told of ports: %s", got)
	}
	if r, err = w.m.Connect(t.Context(), "c", c.ns, EndpointSpec{Name: DefaultNetwork}, ports); err != nil {
		t.Fatal(err)
	}
	if p, v := told(); p != 2 || v != 1 || len(r.Ports) != 2 || r.Endpoints[0].External {
		t.Errorf("told %d times, and %d; %+v", p, v, r)
	}
	w.want(nil, "tcp", "127.0.0.1:8080", "c 172.17.0.1")

	// The next engine, and away.
	w.crash()
	w.start()
	for id, x := range map[string]Result{"a": a.r, "c": r} {
		f := a.ns
		if id == "c" {
			f = c.ns
		}
		if err := w.m.Adopt(t.Context(), id, f, x); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.m.Prune(t.Context(), []string{"a", "c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.m.Disconnect(t.Context(), "c", c.ns, "far", nil); err != nil {
		t.Fatal(err)
	}
	if got := in(t, c.ns, "ip -br link"); strings.Contains(got, "plug") {
		t.Errorf("still there: %s", got)
	}
	w.want(nil, "tcp", "127.0.0.1:8080", "c 172.17.0.1")
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := w.m.Remove(t.Context(), "far"); err != nil {
		t.Fatal(err)
	}
	log := calls()
	for call, n := range map[string]int{"CreateNetwork": 2, "DeleteNetwork": 1, "CreateEndpoint": 3, "DeleteEndpoint": 3, "Join": 2, "Leave": 2, "EndpointOperInfo": 2, "ProgramExternalConnectivity": 2, "RevokeExternalConnectivity": 2} {
		if got := strings.Count(log, "NetworkDriver."+call+"\n"); got != n {
			t.Errorf("%s: %d calls, want %d\n%s", call, got, n, log)
		}
	}
}
