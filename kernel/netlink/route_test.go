package netlink

import (
	"net/netip"
	"os"
	"slices"
	"testing"
)

// TestRoutes: what was added is listed, and can be removed by what the list says.
func TestRoutes(t *testing.T) {
	inNamespace(t, func(c *Conn, _ *os.File) error {
		br, err := c.AddBridge("br0", 1400)
		if err != nil {
			return err
		}
		for _, address := range []string{"10.9.0.1/24", "fd00:9::1/64"} {
			if err := c.AddAddr(br.Index, netip.MustParsePrefix(address)); err != nil {
				return err
			}
		}
		if err := c.SetUp(br.Index); err != nil {
			return err
		}
		for _, r := range []struct{ to, via string }{
			{"0.0.0.0/0", "10.9.0.2"}, {"0.0.0.0/0", ""}, {"10.10.0.0/16", "10.9.0.2"}, {"10.10.0.0/16", ""},
			{"::/0", "fd00:9::2"}, {"::/0", ""}, {"fd00:10::/64", "fd00:9::2"}, {"fd00:10::/64", ""},
		} {
			want := Route{Index: br.Index, To: netip.MustParsePrefix(r.to)}
			if r.via != "" {
				want.Via = netip.MustParseAddr(r.via)
			}
			if err := c.AddRoute(want); err != nil {
				t.Errorf("add %v: %v", want, err)
			}
			all, err := c.Routes()
			if err != nil || !slices.Contains(all, want) {
				t.Errorf("%v is not among %v, %v", want, all, err)
			}
			if err := c.DelRoute(want); err != nil {
				t.Errorf("remove %v: %v", want, err)
			}
			if all, err = c.Routes(); err != nil || slices.Contains(all, want) {
				t.Errorf("%v is still among %v, %v", want, all, err)
			}
		}
		return nil
	})
}
