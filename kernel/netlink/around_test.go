package netlink

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// TestAround: what is heard of changes is what a look at everything shows.
func TestAround(t *testing.T) {
	host, err := ns.NewNetNSWith(nil, func(*os.File) error {
		c, err := Open()
		if err != nil {
			return err
		}
		defer c.Close()
		told := map[netip.Prefix]int{}
		note := func(p netip.Prefix, reached bool) {
			if reached {
				told[p]++
			} else {
				told[p]--
			}
		}
		a, err := LookAround(c, note)
		if err != nil {
			return err
		}
		defer a.Close()
		looks := func(step, want string) {
			t.Helper()
			if err := a.Look(); err != nil {
				t.Error(err)
			}
			var got []string
			for p := range a.reaches {
				if p.Addr().Is4() {
					got = append(got, p.String())
				}
			}
			slices.Sort(got)
			if strings.Join(got, " ") != want {
				t.Errorf("%s: %v, want %s", step, got, want)
			}
			fresh := &Around{conn: c, fd: a.fd, stale: true}
			if err := fresh.Look(); err != nil {
				t.Error(err)
			}
			if !slices.Equal(slices.Sorted(maps.Keys(byText(fresh.reaches))), slices.Sorted(maps.Keys(byText(a.reaches)))) {
				t.Errorf("%s: heard %v, there is %v", step, a.reaches, fresh.reaches)
			}
			for p, n := range told {
				if n < 0 || n > 1 || n != min(1, a.reaches[p]) {
					t.Errorf("%s: told %d times of %s", step, n, p)
				}
			}
			if len(a.Defaults()) != len(fresh.Defaults()) {
				t.Errorf("%s: default routes %v, there are %v", step, a.Defaults(), fresh.Defaults())
			}
		}
		looks("nothing", "")
		br, err := c.AddBridge("br0", 1400)
		if err != nil {
			return err
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		must(c.AddAddr(br.Index, netip.MustParsePrefix("10.9.0.1/24")))
		looks("an address", "10.9.0.0/24")
		must(c.SetUp(br.Index))
		must(c.AddAddr(br.Index, netip.MustParsePrefix("fd00:9::1/64")))
		must(c.AddRoute(Route{Index: br.Index, To: netip.MustParsePrefix("10.10.0.0/16")}))
		must(c.AddRoute(Route{Index: br.Index, To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.9.0.2")}))
		looks("routes", "10.10.0.0/16 10.9.0.0/24")
		if mtu := a.Defaults(); len(mtu) != 1 || mtu[0].Index != br.Index {
			t.Errorf("default routes %v", mtu)
		}
		if got, err := c.AddrsOf(br.Index); err != nil || !slices.Contains(got, netip.MustParsePrefix("fd00:9::1/64")) || !slices.Contains(got, netip.MustParsePrefix("10.9.0.1/24")) {
			t.Errorf("addresses %v, %v", got, err)
		}
		if got, err := c.AddrsOf(LoopbackIndex); err != nil || len(got) != 0 {
			t.Errorf("addresses of lo %v, %v", got, err)
		}
		must(c.DelRoute(Route{Index: br.Index, To: netip.MustParsePrefix("10.10.0.0/16")}))
		looks("a route less", "10.9.0.0/24")
		must(c.Delete(br.Index))
		if _ = a.Look(); a.stale {
			t.Error("a link that is gone is a reason to read everything")
		}
		looks("the link is gone", "")
		br, err = c.AddBridge("br1", 1400)
		if err != nil {
			return err
		}
		must(c.AddAddr(br.Index, netip.MustParsePrefix("10.9.0.1/24")))
		must(c.AddAddr(br.Index, netip.MustParsePrefix("10.9.1.1/24")))
		must(c.SetUp(br.Index))
		looks("two addresses", "10.9.0.0/24 10.9.1.0/24")
		must(c.DelAddr(br.Index, netip.MustParsePrefix("10.9.0.1/24")))
		looks("one address less", "10.9.1.0/24")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	host.Close()
}

func byText(m map[netip.Prefix]int) map[string]bool {
	out := map[string]bool{}
	for p := range m {
		out[fmt.Sprint(p)] = true
	}
	return out
}

func FuzzAround(f *testing.F) {
	message := func(kind uint16, body ...byte) []byte {
		b := make([]byte, 16, 16+len(body))
		b[0], b[4] = byte(16+len(body)), byte(kind)
		return append(b, body...)
	}
	f.Add(message(unix.RTM_NEWADDR, 2, 24, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 10, 9, 0, 1))
	f.Add(message(unix.RTM_NEWROUTE, 2, 24, 0, 0, 254, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0, 10, 9, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := &Around{}
		a.empty()
		a.hear(data)
		for p, n := range a.reaches {
			if n <= 0 || !p.IsValid() || p != p.Masked() || p.Bits() == 0 {
				t.Errorf("%v: %d", p, n)
			}
		}
	})
}
