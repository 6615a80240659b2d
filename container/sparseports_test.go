package container

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	nettypes "github.com/moby/moby/api/types/network"
)

// TestEncodeMember: ports are written as json.Marshal writes them.
func TestEncodeMember(t *testing.T) {
	bindings := nettypes.PortMap{
		nettypes.MustParsePort("443/tcp"): {{HostPort: "8443"}}, nettypes.MustParsePort("80/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1")}},
		nettypes.MustParsePort("53/udp"): {{HostPort: "53"}, {HostIP: netip.MustParseAddr("::1"), HostPort: "54"}},
		nettypes.MustParsePort("1/tcp"):  {{HostIP: netip.MustParseAddr("fe80::1%eth0"), HostPort: "1"}}, nettypes.MustParsePort("2/tcp"): nil,
		nettypes.MustParsePort("3/sctp"): {}, nettypes.MustParsePort("4/tcp"): {{HostPort: `8"0`}}, nettypes.MustParsePort("5/tcp"): {{HostPort: "1-2"}},
	}
	exposed := nettypes.PortSet{}
	for i := range 200 {
		exposed[nettypes.MustParsePort(fmt.Sprintf("%d/udp", i*7+1))] = struct{}{}
	}
	for _, v := range []any{bindings, exposed, nettypes.PortMap(nil), nettypes.PortMap{}, nettypes.PortSet(nil), "text"} {
		got, err := encodeMember(v)
		want, _ := json.Marshal(v)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}
