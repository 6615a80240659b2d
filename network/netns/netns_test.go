package netns

import (
	"net/netip"
	"testing"
)

// TestGateways: a way out takes the place of the one before, with a gateway or
// without, in both address families.
func TestGateways(t *testing.T) {
	n, err := New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	link, err := n.conn.AddBridge("eth0", 1400)
	if err != nil {
		t.Fatal(err)
	}
	i, err := n.Configure(Interface{Name: link.Name, Index: link.Index}, Config{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24"), netip.MustParsePrefix("fd00:9::2/64")},
	})
	if err != nil {
		t.Fatal(err)
	}
	four, six := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd00:9::1")
	for _, want := range [][]Gateway{
		{{i, netip.Addr{}, false}, {i, netip.Addr{}, true}},
		{{i, four, false}, {i, six, true}},
		{{i, netip.Addr{}, false}},
		{{i, six, true}},
		{},
	} {
		if err := n.SetGateways(want...); err != nil {
			t.Errorf("%v: %v", want, err)
		}
		routes, err := n.conn.Routes()
		if err != nil {
			t.Fatal(err)
		}
		type way struct {
			via netip.Addr
			six bool
		}
		left := map[way]bool{}
		for _, g := range want {
			left[way{g.Via, g.Six}] = true
		}
		for _, r := range routes {
			if r.To.Bits() > 0 {
				continue
			}
			if g := (way{r.Via, r.To.Addr().Is6()}); !left[g] {
				t.Errorf("%v: there is %v", want, r)
			} else {
				delete(left, g)
			}
		}
		if len(left) > 0 {
			t.Errorf("%v: %v is not there", want, left)
		}
	}
}
