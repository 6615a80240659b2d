package netlink

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// TestBornDeaf makes a link that is deaf to IPv6 from its birth, and one after it,
// which is not.
func TestBornDeaf(t *testing.T) {
	inNamespace(t, func(c *Conn, f *os.File) error {
		err := BornDeaf("eth0", func() error {
			if err := c.AddVeth(Veth{Name: "port0", MTU: 1400, Peer: "eth0", PeerNS: f}); err != nil {
				return err
			}
			if got, err := Sysctl("ipv6/conf/eth0/disable_ipv6"); err != nil || got != "1" {
				t.Errorf("at birth: %q, %v", got, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for link, want := range map[string]string{"eth0": "1", "default": "0", "lo": "0"} {
			if got, err := Sysctl("ipv6/conf/" + link + "/disable_ipv6"); err != nil || got != want {
				t.Errorf("%s afterwards: %q, %v; want %s", link, got, err, want)
			}
		}
		failed := errors.New("no link")
		if err := BornDeaf("eth1", func() error { return failed }); !errors.Is(err, failed) {
			t.Errorf("a link that could not be made: %v", err)
		}
		if got, err := Sysctl("ipv6/conf/default/disable_ipv6"); err != nil || got != "0" {
			t.Errorf("after a failure: %q, %v", got, err)
		}
		return nil
	})
}

// TestView looks up the same path in more namespaces than a view is used for, in
// turns: each thread sees its own namespace's settings.
func TestView(t *testing.T) {
	const name = "ipv4/ip_default_ttl"
	inNamespace(t, func(*Conn, *os.File) error {
		if err := SetSysctl(name, "77"); err != nil {
			return err
		}
		for range looks {
			inNamespace(t, func(*Conn, *os.File) error {
				if err := SetSysctl(name, "78"); err != nil {
					return err
				}
				if got, err := Sysctl(name); err != nil || got != "78" {
					t.Errorf("inside: %q, %v", got, err)
				}
				return nil
			})
			if got, err := Sysctl(name); err != nil || got != "77" {
				t.Errorf("outside: %q, %v", got, err)
			}
		}
		return nil
	})
	if unix.Geteuid() == 0 && settings.proc == nil {
		t.Error("root could not have a view of its own")
	}
}

// inNamespace runs f on a thread in a new namespace, which ends with it.
func inNamespace(t *testing.T, f func(c *Conn, space *os.File) error) {
	t.Helper()
	space, err := ns.NewNetNSWith(nil, func(space *os.File) error {
		c, err := Open()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(c, space)
	})
	if err != nil {
		t.Fatal(err)
	}
	space.Close()
}
