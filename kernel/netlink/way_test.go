package netlink

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

func TestWayTo(t *testing.T) {
	f, err := ns.NewNetNSWith(nil, func(*os.File) error {
		c, err := Open()
		if err != nil {
			return err
		}
		defer c.Close()
		br, err := c.AddBridge("br0", 1400)
		if err != nil {
			return err
		}
		for _, do := range []error{
			c.SetUp(LoopbackIndex), c.SetUp(br.Index),
			c.AddAddr(br.Index, netip.MustParsePrefix("10.9.0.1/24")), c.AddAddr(br.Index, netip.MustParsePrefix("fd00:9::1/64")),
			c.AddRoute(Route{Index: br.Index, To: netip.MustParsePrefix("10.10.0.0/16"), Via: netip.MustParseAddr("10.9.0.9")}),
		} {
			if do != nil {
				return do
			}
		}
		for to, want := range map[string]Way{
			"10.9.0.1":  {Index: LoopbackIndex, Local: true},
			"10.9.0.5":  {Index: br.Index},
			"10.10.0.5": {Index: br.Index, Via: true},
			"::1":       {Index: LoopbackIndex, Local: true},
			"fd00:9::5": {Index: br.Index},
		} {
			if got, err := c.WayTo(netip.MustParseAddr(to)); err != nil || got != want {
				t.Errorf("%s: %+v, %v; want %+v", to, got, err, want)
			}
		}
		if got, err := c.WayTo(netip.MustParseAddr("192.0.2.1")); !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("nowhere: %+v, %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
