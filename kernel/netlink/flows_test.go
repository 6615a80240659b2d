package netlink

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/berth-engine/berth/kernel/ns"
)

// TestFlows: those that are to end do, in both families, and no others.
func TestFlows(t *testing.T) {
	f, err := ns.NewNetNSWith(nil, func(*os.File) error {
		c, err := Open()
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetUp(LoopbackIndex); err != nil {
			return err
		}
		// Connections are tracked where a rule asks for their state.
		track := "add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new accept"
		if out, err := exec.CommandContext(t.Context(), "nft", track).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", err, out)
		}
		for _, to := range []string{"127.0.0.2:9", "127.0.0.3:9", "[::1]:9"} {
			c, err := net.Dial("udp", to)
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte("?")); err != nil {
				return err
			}
			c.Close()
		}
		there := func(want ...string) {
			t.Helper()
			var got []string
			if err := EachFlow(func(f Flow) {
				if f[0] != f[3] || f[1] != f[2] {
					t.Errorf("answers to %v", f)
				}
				got = append(got, f[1].String())
			}); err != nil {
				t.Error(err)
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("connections to %v, want %v", got, want)
			}
		}
		there("127.0.0.2", "127.0.0.3", "::1")
		for _, gone := range []string{"127.0.0.2", "::1"} {
			if err := EndFlows(func(f Flow) bool { return slices.Contains(f[:], netip.MustParseAddr(gone)) }); err != nil {
				t.Error(err)
			}
		}
		there("127.0.0.3")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func FuzzParseFlow(f *testing.F) {
	f.Add([]byte("\x14\x00\x01\x80\x10\x00\x01\x80\x08\x00\x01\x00\x7f\x00\x00\x01"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseFlow(data) })
}
