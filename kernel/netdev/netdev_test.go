package netdev

import (
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// twoHosts puts the test into a namespace of its own, which plays the host, and
// makes another. The thread ends with the test.
func twoHosts(t *testing.T) (other *os.File, inside *netlink.Handle) {
	t.Helper()
	runtime.LockOSThread()
	must(t, unix.Unshare(unix.CLONE_NEWNET))
	other, err := ns.NewNetNS()
	must(t, err)
	t.Cleanup(func() { other.Close() })
	inside, err = netlink.NewHandleAt(netns.NsHandle(other.Fd()))
	must(t, err)
	t.Cleanup(inside.Close)
	return other, inside
}

// device makes one end of a pair; the other stays.
func device(t *testing.T, name string, addresses ...string) {
	t.Helper()
	mac, _ := net.ParseMAC("02:00:00:00:00:07")
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: 1400, HardwareAddr: mac}, PeerName: "p" + name}))
	l, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.LinkSetUp(l))
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		if addr.IP.IsLoopback() {
			addr.Scope = unix.RT_SCOPE_HOST
		}
		must(t, netlink.AddrAdd(l, addr))
	}
}

// texts are the addresses of global scope.
func texts(t *testing.T, h *netlink.Handle, l netlink.Link) string {
	t.Helper()
	list, err := h.AddrList(l, netlink.FAMILY_ALL)
	must(t, err)
	var out []string
	for _, a := range list {
		if a.Scope == unix.RT_SCOPE_UNIVERSE {
			out = append(out, a.IPNet.String())
		}
	}
	return strings.Join(out, " ")
}

func TestMove(t *testing.T) {
	other, inside := twoHosts(t)
	device(t, "d0", "192.0.2.1/24", "192.0.2.9/32", "127.0.0.7/8", "2001:db8::7/64")
	device(t, "d1", "198.51.100.1/24")
	must(t, Move(other, []Device{{Name: "d0", NewName: "eth0"}, {Name: "d1"}}))
	if _, err := netlink.LinkByName("d0"); err == nil {
		t.Error("still here")
	}
	l, err := inside.LinkByName("eth0")
	must(t, err)
	a := l.Attrs()
	if a.MTU != 1400 || a.HardwareAddr.String() != "02:00:00:00:00:07" || a.Flags&net.FlagUp == 0 {
		t.Errorf("%+v", a)
	}
	if got := texts(t, inside, l); got != "192.0.2.1/24 192.0.2.9/32 2001:db8::7/64" {
		t.Errorf("addresses %s", got)
	}
	l, err = inside.LinkByName("d1")
	must(t, err)
	if got := texts(t, inside, l); got != "198.51.100.1/24" {
		t.Errorf("addresses %s", got)
	}
}

func TestNames(t *testing.T) {
	other, inside := twoHosts(t)
	must(t, inside.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peth0"}))
	device(t, "eth0", "192.0.2.1/24")
	device(t, "d1", "192.0.2.2/24")
	for _, d := range []Device{{Name: "eth0"}, {Name: "d1", NewName: "eth0"}} {
		if err := Move(other, []Device{d}); !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), `the container has a device "eth0"`) {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if err := Move(other, []Device{{Name: "d1"}, {Name: "nosuch"}}); !errors.Is(err, unix.ENODEV) {
		t.Error(err)
	}
	if _, err := netlink.LinkByName("d1"); err != nil {
		t.Error("one was moved although another cannot be")
	}
	must(t, Move(other, []Device{{Name: "eth0", NewName: "eth%d"}, {Name: "d1", NewName: "eth%d"}}))
	var got []string // the kernel may choose twice, for the move and for the name
	for _, name := range []string{"eth1", "eth2"} {
		l, err := inside.LinkByName(name)
		must(t, err)
		got = append(got, texts(t, inside, l))
	}
	if slices.Sort(got); !slices.Equal(got, []string{"192.0.2.1/24", "192.0.2.2/24"}) {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", ".", "a/b", "a b", "sixteen-letters-", "a\x00"} {
		if Valid(bad) {
			t.Errorf("%q is valid", bad)
		}
	}
	if err := Move(other, []Device{{Name: "d9", NewName: "a/b"}}); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
}
