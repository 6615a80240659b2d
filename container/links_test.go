package container

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/network"
)

func TestParseLink(t *testing.T) {
	for text, want := range map[string]string{"db": "db db", "db:data": "db data", "/db:/web/data": "/db data"} {
		name, alias, err := parseLink(text)
		if got := name + " " + alias; err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", ":", "a:", ":b", "a:b:c"} {
		if _, _, err := parseLink(bad); err == nil {
			t.Errorf("%q is a link", bad)
		}
	}
}

// What Docker tells of a linked container, to the letter.
func TestLinkEnv(t *testing.T) {
	ports := nettypes.PortSet{}
	for _, p := range []string{"6379/tcp", "53/udp", "53/tcp", "8000/tcp", "8001/tcp", "8002/tcp"} {
		ports[nettypes.MustParsePort(p)] = struct{}{}
	}
	r := &Record{
		ID: strings.Repeat("a", 64), Name: "redis", HostConfig: &container.HostConfig{},
		Config:  &container.Config{Hostname: "box", Env: []string{"A=1=2", "HOME=/x", "PATH=/y", "NONE"}, ExposedPorts: ports},
		Network: &network.Result{Endpoints: []network.Endpoint{{Network: "front", IPv4: netip.MustParsePrefix("10.0.0.9/16")}, {Network: network.DefaultNetwork, IPv4: netip.MustParsePrefix("172.17.0.9/16")}}},
	}
	l := link{newEntry(r), "my-db"}
	if got := l.hosts(); got != "172.17.0.9\tmy-db box redis\n" {
		t.Errorf("%q", got)
	}
	env := l.env("web")
	for _, want := range []string{
		"MY_DB_PORT=tcp://172.17.0.9:53", "MY_DB_PORT_53_UDP=udp://172.17.0.9:53", "MY_DB_PORT_6379_TCP_ADDR=172.17.0.9",
		"MY_DB_PORT_6379_TCP_PORT=6379", "MY_DB_PORT_6379_TCP_PROTO=tcp", "MY_DB_NAME=/web/my-db", "MY_DB_ENV_A=1=2",
		"MY_DB_PORT_8000_TCP_START=tcp://172.17.0.9:8000", "MY_DB_PORT_8000_TCP_END=tcp://172.17.0.9:8002", "MY_DB_PORT_8000_TCP_PORT_END=8002",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	if text := strings.Join(env, "\n"); strings.Contains(text, "HOME") || strings.Contains(text, "PATH") || strings.Contains(text, "NONE") {
		t.Error(text)
	}
}

func TestDeviceRequests(t *testing.T) {
	gpu := [][]string{{"gpu"}}
	known := []string{"nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=all", "other.com/x=1"}
	for want, d := range map[string]container.DeviceRequest{
		"nvidia.com/gpu=0":                  {Count: 1, Capabilities: gpu},
		"nvidia.com/gpu=0 nvidia.com/gpu=1": {Count: -1, Capabilities: gpu},
		"nvidia.com/gpu=uuid":               {DeviceIDs: []string{"uuid"}, Capabilities: gpu, Driver: "nvidia"},
	} {
		got, err := chooseGPUs(&d, known)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q instead of %q, %v", got, want, err)
		}
	}
	if _, err := chooseGPUs(&container.DeviceRequest{Capabilities: gpu}, known[3:]); err == nil || !strings.Contains(err.Error(), `could not select device driver "" with capabilities: [[gpu]]`) {
		t.Error(err)
	}
	for _, bad := range []container.DeviceRequest{
		{Driver: "cdi"},
		{Driver: "cdi", DeviceIDs: []string{"x"}},
		{Driver: "cdi", Count: 1},
		{Driver: "x"},
		{Count: -1},
		{Count: 1, DeviceIDs: []string{"x"}, Capabilities: gpu},
	} {
		if err := checkDeviceRequests(&container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{bad}}}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
