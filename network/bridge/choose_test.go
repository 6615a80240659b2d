package bridge

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/network/ipam"
)

// TestChoose: a bridge has the network that it had before if nobody else has it by
// now, or else the first that nobody has: by an address, by a route, even one that
// leads nowhere, or as a name server.
func TestChoose(t *testing.T) {
	f, err := ns.NewNetNSWith(nil, func(*os.File) error {
		conn, err := netlink.Open()
		if err != nil {
			return err
		}
		defer conn.Close()
		if out, err := exec.CommandContext(t.Context(), "sh", "-ec", `ip link add up0 type bridge; ip link set up0 up
			ip addr add 172.17.5.1/24 dev up0; ip route add blackhole 172.18.0.0/15; ip route add default dev up0`).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		o := Options{Name: "berth0", Pools: ipam.DefaultPools, Avoid: []netip.Addr{netip.MustParseAddr("172.20.0.53")}, MTU: 1500}
		for _, c := range []struct{ before, want string }{
			{"", "172.21.0.1/16"}, {"172.30.9.9/24", "172.30.9.1/24"}, {"172.17.5.7/28", "172.21.0.1/16"}, {"172.20.0.1/16", "172.21.0.1/16"},
		} {
			o.Prefer = netip.Prefix{}
			if c.before != "" {
				o.Prefer = netip.MustParsePrefix(c.before)
			}
			b, err := Open(conn, o)
			if err != nil {
				return err
			}
			if got := b.Address().String(); got != c.want {
				t.Errorf("before %s: %s, want %s", c.before, got, c.want)
			}
			if err := b.Remove(); err != nil {
				return err
			}
		}
		o.Pools = ipam.Areas{{Base: netip.MustParsePrefix("172.18.0.0/16"), Bits: 24}}
		if _, err := Open(conn, o); !errdefs.IsInvalidArgument(err) {
			t.Errorf("pools that are all in use: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
