package network

import (
	"net"
	"net/netip"
	"testing"

	nettypes "github.com/moby/moby/api/types/network"
)

// TestAnnounced: who gets an address that another had, under another hardware
// address, is known to the neighbours at once: they need not wait until what they
// know of the other is too old.
func TestAnnounced(t *testing.T) {
	w := newWorld(t)
	yes := true
	w.create(nettypes.CreateRequest{Name: "net", EnableIPv6: &yes, IPAM: subnets("10.77.1.0/24", "fd00:77::/64")})
	knows := w.join("knows", on("net"))
	in(t, knows.ns, "sysctl -qw net.ipv4.neigh.eth0.locktime=0") // what it learns is believed at once
	for i, id := range []string{"first", "second", "third"} {
		d := on("net")
		d.ID, d.Name = id, id
		e := &d.Networks[0]
		e.IPv4, e.IPv6 = netip.MustParseAddr("10.77.1.9"), netip.MustParseAddr("fd00:77::9")
		if id != "third" { // whose address is made of its IPv4 address, as nobody's was before
			e.MAC = net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)}
		}
		f, r, err := w.m.Attach(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		mac := r.Endpoints[0].MAC
		if i == 0 {
			in(t, knows.ns, "ip neigh replace 10.77.1.9 dev eth0 lladdr "+mac+" nud stale; ip neigh replace fd00:77::9 dev eth0 lladdr "+mac+" nud stale")
		}
		for _, a := range []string{"10.77.1.9", "fd00:77::9"} {
			w.until(a+" is at "+mac, func() bool { return knows.knows(a) == mac+"\n" })
		}
		if err := w.m.Detach(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
