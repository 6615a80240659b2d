package container

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/network"
)

func TestPortSpecs(t *testing.T) {
	port := nettypes.MustParsePort
	local := netip.MustParseAddr("127.0.0.1")
	c := &container.Config{ExposedPorts: nettypes.PortSet{port("9/udp"): {}, port("80"): {}}}
	h := &container.HostConfig{PublishAllPorts: true, PortBindings: nettypes.PortMap{
		port("80"):  {{HostPort: ""}, {HostIP: local, HostPort: "8080"}},
		port("443"): {{HostPort: "8000-8010"}},
	}}
	got, err := portSpecs(c, h)
	want := []network.PortSpec{
		{HostIP: local, HostPort: 8080, ContainerPort: 80, Proto: "tcp"},
		{HostPort: 8000, HostPortEnd: 8010, ContainerPort: 443, Proto: "tcp"},
		{ContainerPort: 9, Proto: "udp"},
		{ContainerPort: 80, Proto: "tcp"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []nettypes.PortMap{
		{port("80"): {{HostPort: "x"}}},
		{port("80"): {{HostPort: "70000"}}},
		{port("80"): {{HostPort: "9-8"}}},
		{port("0"): {{HostPort: "1"}}},
		{port("80/icmp"): {{HostPort: "1"}}},
	} {
		if _, err := portSpecs(c, &container.HostConfig{PortBindings: bad}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func FuzzParseHostPort(f *testing.F) {
	for _, s := range []string{"", "80", "8000-8010", "1-", "-1", "65535-65535", "0-5", "8 0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, err := parseHostPort(s)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if last != 0 && (first == 0 || last <= first) {
			t.Errorf("%q: %d-%d", s, first, last)
		}
	})
}
