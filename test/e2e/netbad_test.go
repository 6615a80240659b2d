package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNetworkBadInput: what cannot be had is said with Docker's words and
// status, and nothing is left of it.
func TestNetworkBadInput(t *testing.T) {
	d := newDaemon(t, "--default-address-pool", "base=10.99.0.0/24,size=26")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	must(t, d, "berth", "network", "create", "--subnet", "10.77.1.0/24", "there")
	for _, name := range []string{"pool2", "pool3", "pool4"} { // the rest of the pools
		must(t, d, "berth", "network", "create", name)
	}
	must(t, d, "berth", "run", "-d", "--name", "inside", "--network", "there", "--ip", "10.77.1.9", "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
	must(t, d, "berth", "run", "-d", "--name", "other", "busybox", "sleep", "1000")
	must(t, d, "berth", "run", "-d", "--name", "onhost", "--network", "host", "busybox", "sleep", "1000")
	must(t, d, "berth", "run", "-d", "--name", "without", "--network", "none", "busybox", "sleep", "1000")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, taken, _ := net.SplitHostPort(l.Addr().String())
	must(t, d, "berth", "create", "--name", "taken", "-p", "127.0.0.1:"+taken+":80", "busybox", "sleep", "1000")
	must(t, d, "berth", "run", "-d", "--name", "has", "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
	allocated := strings.TrimPrefix(strings.Fields(must(t, d, "berth", "port", "has"))[2], "127.0.0.1:")
	must(t, d, "berth", "create", "--name", "late", "-p", "127.0.0.1:"+allocated+":80", "busybox", "sleep", "1000")
	for _, name := range []string{"taken", "late"} { // the first start makes directories that stay
		if _, err := client(t, d, "berth", "start", name); err == nil {
			t.Errorf("%s was started", name)
		}
	}
	before := idle(t, d)
	rows := networkRefusals(taken, allocated)
	for i, c := range rows {
		method, path, ok := strings.Cut(c.path, " ")
		if !ok {
			method, path = http.MethodPost, c.path
		}
		status, answer := say(t, d.Client(), method, path, c.body)
		if status != c.status || !strings.Contains(answer, c.text) {
			t.Errorf("%s: %s %s %s: %d %s; want %d %q", c.what, method, path, c.body, status, answer, c.status, c.text)
		}
		if i%8 == 7 || i == len(rows)-1 {
			noLeak(t, d, before)
		}
	}
	must(t, d, "berth", "rm", "-f", "inside", "other", "onhost", "without", "taken", "late", "has")
	must(t, d, "berth", "network", "prune", "-f")
}

// badRequest is a request, and what answers it.
type badRequest struct {
	what, path, body string // path: with the method before, if it is not POST
	status           int
	text             string
}

// connecting asks for an endpoint of a container.
func connecting(name, config string) string {
	return fmt.Sprintf(`{"Container": %q, "EndpointConfig": {"IPAMConfig": {%s}}}`, name, config)
}

// networkRefusals are all of TestNetworkBadInput's; taken is a port that a process
// has, and allocated one that another container has.
func networkRefusals(taken, allocated string) []badRequest {
	create := func(fields string) string { return `{"Name": "x", ` + fields + `}` }
	subnet := func(s string) string { return create(`"IPAM": {"Config": [` + s + `]}`) }
	const made, join, leave = "/networks/create", "/networks/there/connect", "/networks/there/disconnect"
	return []badRequest{
		{"overlap", made, subnet(`{"Subnet": "10.77.0.0/16"}`), 403, "Pool overlaps with other one on this address space"},
		{"the same again", made, subnet(`{"Subnet": "10.77.1.0/24"}`), 403, "Pool overlaps"},
		{"no CIDR", made, subnet(`{"Subnet": "10.0.0.0/99"}`), 400, "prefix length"},
		{"no network", made, subnet(`{"Subnet": "hello"}`), 400, "hello"},
		{"host bits", made, subnet(`{"Subnet": "10.5.0.1/24"}`), 400, "it should be 10.5.0.0/24"},
		{"range", made, subnet(`{"Subnet": "10.5.0.0/24", "IPRange": "10.6.0.0/25"}`), 400, "10.6.0.0/25"},
		{"no host's gateway", made, subnet(`{"Subnet": "10.5.0.0/24", "Gateway": "10.5.0.255"}`), 403, "failed to allocate gateway (10.5.0.255): Address already in use"},
		{"gateway", made, subnet(`{"Subnet": "10.5.0.0/24", "Gateway": "10.6.0.1"}`), 400, "10.6.0.1"},
		{"driver", made, create(`"Driver": "nosuch"`), 404, "could not find plugin nosuch"},
		{"IPAM driver", made, create(`"IPAM": {"Driver": "nosuch"}`), 404, "nosuch"},
		{"IPAM option", made, create(`"IPAM": {"Options": {"b": "1", "a": "1"}}`), 400, `IPAM option "a": the default IPAM driver has none`},
		{"option", made, create(`"Options": {"nosuch": "1"}, "IPAM": {"Config": [{"Subnet": "10.5.0.0/24"}]}`), 400, "nosuch"},
		{"predefined", made, `{"Name": "host"}`, 403, "operation is not permitted on predefined host network"},
		{"name", made, `{"Name": "there"}`, 409, "network with name there already exists"},
		{"pools", made, create(`"Driver": "bridge"`), 400, "all predefined address pools have been fully subnetted"},

		{"address taken", join, connecting("other", `"IPv4Address": "10.77.1.9"`), 403, "Address already in use"},
		{"the gateway's", join, connecting("other", `"IPv4Address": "10.77.1.1"`), 403, "Address already in use"},
		{"address outside", join, connecting("other", `"IPv4Address": "10.78.1.9"`), 400, "no configured subnet"},
		{"no IPv6 there", join, connecting("other", `"IPv6Address": "2001:db8::9"`), 400, ""},
		{"link-local", join, connecting("other", `"LinkLocalIPs": ["10.1.1.1"]`), 400, "link-local"},
		{"twice", join, connecting("inside", ``), 403, "endpoint with name inside already exists in network there"},
		{"host mode", join, connecting("onhost", ``), 400, "container sharing network namespace with another container or host cannot be connected to any other network"},
		{"to host", "/networks/host/connect", connecting("other", ``), 400, "container cannot be disconnected from host network or connected to host network"},
		{"to none", "/networks/none/connect", connecting("other", ``), 400, "cannot be connected to multiple networks with one of the networks in private (none) mode"},
		{"none", join, connecting("without", ``), 400, "cannot be connected to multiple networks with one of the networks in private (none) mode"},
		{"no container", join, connecting("nobody", ``), 404, "No such container: nobody"},
		{"no network", "/networks/nosuch/connect", connecting("other", ``), 404, "network nosuch not found"},
		{"not on it", leave, `{"Container": "other"}`, 403, "is not connected to network there"},
		{"leave host", "/networks/host/disconnect", `{"Container": "onhost"}`, 400, "container cannot be disconnected from host network or connected to host network"},

		{"a port of a process", "/containers/taken/start", "", 500, "127.0.0.1:" + taken + "/tcp: address already in use by process"},
		{"a port of another", "/containers/late/start", "", 500, "Bind for 127.0.0.1:" + allocated + " failed: port is already allocated"},
		{"in use", "DELETE /networks/there", "", 403, "has active endpoints (name:\"inside\""},
		{"predefined", "DELETE /networks/bridge", "", 403, "bridge is a pre-defined network and cannot be removed"},
		{"unknown", "DELETE /networks/nosuch", "", 404, "network nosuch not found"},
	}
}

// TestConnectWithoutRun: a container that is stopped is on the network from its
// next start on; one that is paused at once, as with Docker.
func TestConnectWithoutRun(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "network", "create", "--subnet", "10.77.1.0/24", "there")
	must(t, d, "berth", "run", "-d", "--name", "paused", "busybox", "sleep", "1000")
	must(t, d, "berth", "pause", "paused")
	must(t, d, "berth", "create", "--name", "stopped", "busybox", "sleep", "1000")
	for _, name := range []string{"stopped", "paused"} {
		if status, answer := say(t, d.Client(), http.MethodPost, "/networks/there/connect", connecting(name, ``)); status != 200 {
			t.Errorf("connect what is %s: %d %s", name, status, answer)
		}
	}
	must(t, d, "berth", "unpause", "paused")
	must(t, d, "berth", "start", "stopped")
	for _, name := range []string{"stopped", "paused"} {
		if got := must(t, d, "berth", "exec", name, "ip", "-o", "addr"); !strings.Contains(got, "10.77.1.") {
			t.Errorf("%s: %s", name, got)
		}
	}
	must(t, d, "berth", "rm", "-f", "paused", "stopped")
	must(t, d, "berth", "network", "rm", "there")
}

// say makes a request, and returns the answer's status and text.
func say(t *testing.T, c *http.Client, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://berth"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(data, &e) == nil && e.Message != "" {
		return resp.StatusCode, e.Message
	}
	return resp.StatusCode, string(data)
}

// TestCNINetwork: containers on a network of a CNI plugin, as a user has them.
func TestCNINetwork(t *testing.T) {
	if _, err := os.Stat("/usr/lib/cni/bridge"); err != nil {
		t.Skip("no CNI plugins on this machine")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "lan.conflist")
	if err := os.WriteFile(conf, []byte(`{"cniVersion": "1.0.0", "name": "lan", "plugins": [{
		"type": "bridge", "bridge": "cnie2e0", "isGateway": true, "isDefaultGateway": true, "capabilities": {"ips": true, "mac": true},
		"ipam": {"type": "host-local", "dataDir": "`+dir+`/leases", "ranges": [[{"subnet": "10.91.0.0/24"}]]}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	must(t, d, "berth", "network", "create", "-d", "cni", "-o", "conf="+conf, "lan")
	must(t, d, "berth", "run", "-d", "--name", "web", "--network", "lan", "busybox", "sh", "-c", "echo hello > /index.html; exec httpd -f -h /")
	if got := must(t, d, "berth", "run", "--rm", "--network", "lan", "busybox", "sh", "-c", "until wget -qO- http://web/; do :; done"); !strings.Contains(got, "hello") {
		t.Errorf("by name: %s", got)
	}
	got := must(t, d, "berth", "run", "--rm", "--network", "lan", "--ip", "10.91.0.77", "--mac-address", "02:11:22:33:44:55", "busybox", "ip", "addr", "show", "eth0")
	if !strings.Contains(got, "10.91.0.77/24") || !strings.Contains(got, "02:11:22:33:44:55") {
		t.Errorf("chosen addresses: %s", got)
	}
	must(t, d, "berth", "rm", "-f", "web")
	must(t, d, "berth", "network", "rm", "lan")
	must(t, d, "ip", "link", "del", "cnie2e0") // what plugins make for the network as a whole is theirs
}
