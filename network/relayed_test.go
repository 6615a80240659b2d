package network

import (
	"testing"

	nettypes "github.com/moby/moby/api/types/network"
)

// TestInternalReachesNoRelay: a container on an internal network does not reach
// another's published port where berth-netd passes on what comes to the host: over
// IPv6 to a container without, and with publish-policy host. The host does.
func TestInternalReachesNoRelay(t *testing.T) {
	for _, policy := range []Policy{PolicyDocker, PolicyHost} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Policy = policy })
			yes := true
			w.create(nettypes.CreateRequest{Name: "shut", EnableIPv6: &yes, Internal: true, IPAM: subnets("10.77.1.0/24", "fd00:77:1::/64")})
			w.create(nettypes.CreateRequest{Name: "open", EnableIPv6: &yes, IPAM: subnets("10.77.2.0/24", "fd00:77:2::/64")})
			a := w.attach("a", tcp("", 8080, 80), PortSpec{HostPort: 9090, ContainerPort: 90, Proto: "udp"})
			a.serve(80, "a")
			a.serveUDP(90, "u")
			in, out := w.join("in", on("shut")), w.join("out", on("open"))
			reached := func(who string, on *container, gateway4, gateway6 string, want bool) {
				t.Helper()
				for network, address := range map[string]string{
					"tcp4": gateway4 + ":8080", "tcp6": "[" + gateway6 + "]:8080", "udp4": gateway4 + ":9090", "udp6": "[" + gateway6 + "]:9090",
				} {
					wait := short
					if want {
						wait = long
					}
					if got, err := call(on.ns, network, address, wait); (err == nil) != want {
						t.Errorf("%s, %s %s: %q, %v", who, network, address, got, err)
					}
				}
			}
			reached("internal", in, "10.77.1.1", "fd00:77:1::1", false)
			reached("another network", out, "10.77.2.1", "fd00:77:2::1", true)
			for _, network := range []string{"tcp4", "tcp6"} {
				if _, err := call(nil, network, map[string]string{"tcp4": "127.0.0.1:8080", "tcp6": "[::1]:8080"}[network], long); err != nil {
					t.Errorf("host, %s: %v", network, err)
				}
			}
			w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
		})
	}
}
