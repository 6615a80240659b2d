package netlink

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// TestVeth plugs a namespace into a bridge inside another namespace.
func TestVeth(t *testing.T) {
	host, err := ns.NewNetNSWith(nil, func(*os.File) error {
		c, err := Open()
		if err != nil {
			return err
		}
		defer c.Close()
		bridge, err := c.AddBridge("br0", 1400)
		if err != nil {
			return err
		}
		if bridge.Kind != "bridge" || bridge.MTU != 1400 || bridge.Up {
			t.Errorf("bridge: %+v", bridge)
		}
		if err := c.AddAddr(bridge.Index, netip.MustParsePrefix("10.9.0.1/24")); err != nil {
			return err
		}
		if err := c.SetUp(bridge.Index); err != nil {
			return err
		}
		// NewNetNSWith uses a thread of its own; c stays in ours.
		inner, err := ns.NewNetNSWith(nil, func(f *os.File) error {
			if err := c.AddVeth(Veth{Name: "port0", Master: bridge.Index, MTU: 1400, Peer: "eth0", PeerNS: f}); err != nil {
				return err
			}
			in, err := Open()
			if err != nil {
				return err
			}
			defer in.Close()
			eth0, err := in.Link("eth0")
			if err != nil {
				return err
			}
			port, err := c.Link("port0")
			if err != nil {
				return err
			}
			if eth0.Up || !port.Up || eth0.Kind != "veth" || eth0.Peer != port.Index || eth0.MTU != 1400 {
				t.Errorf("ends: %+v, %+v", eth0, port)
			}
			if _, err := IndexOf("port0"); !errdefs.IsNotFound(err) {
				t.Errorf("a link of another namespace: %v", err)
			}
			if index, err := IndexOf("eth0"); err != nil || index != eth0.Index {
				t.Errorf("index of eth0: %d, %v", index, err)
			}
			if _, err := IndexOf("a-name-that-is-too-long"); err == nil || errdefs.IsNotFound(err) {
				t.Errorf("a name that no link can have: %v", err)
			}
			if err := c.ForgetMAC(port.Index, []byte{2, 1, 1, 1, 1, 1}); err != nil {
				t.Errorf("forget a MAC address that nobody has: %v", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		defer inner.Close()
		addrs, err := c.Addrs()
		addrs = slices.DeleteFunc(addrs, func(a Addr) bool { return a.Prefix.Addr().IsLinkLocalUnicast() })
		if err != nil || len(addrs) != 1 || addrs[0].Prefix.String() != "10.9.0.1/24" || addrs[0].Index != bridge.Index {
			t.Errorf("addresses: %v, %v", addrs, err)
		}
		if _, err := c.Link("nosuch"); !errdefs.IsNotFound(err) {
			t.Errorf("a link that is not there: %v", err)
		}
		return c.Delete(bridge.Index)
	})
	if err != nil {
		t.Fatal(err)
	}
	host.Close()
}

// event is a message of nftables about a table.
func event(kind uint16, table string) []byte {
	attr := append(make([]byte, 4), table+"\x00"...)
	binary.NativeEndian.PutUint16(attr, uint16(len(attr)))
	binary.NativeEndian.PutUint16(attr[2:], 1)
	msg := append(make([]byte, unix.SizeofNlMsghdr+4), attr...)
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], unix.NFNL_SUBSYS_NFTABLES<<8|kind)
	return append(msg, make([]byte, (4-len(msg)%4)%4)...)
}

func TestRemoves(t *testing.T) {
	add, del := event(unix.NFT_MSG_NEWTABLE, "berth"), event(unix.NFT_MSG_DELTABLE, "berth")
	other := event(unix.NFT_MSG_DELRULE, "filter")
	for _, c := range []struct {
		messages []byte
		want     bool
	}{
		{nil, false},
		{add, false},
		{other, false},
		{del, true},
		{event(unix.NFT_MSG_DELRULE, "berth"), true},
		{append(append(append([]byte(nil), other...), add...), del...), true},
		{event(unix.NFT_MSG_DELTABLE, "berth-br1"), false},
	} {
		if got := removes(c.messages, "berth"); got != c.want {
			t.Errorf("%q: %v", c.messages, got)
		}
	}
}

func FuzzRemoves(f *testing.F) {
	f.Add(event(unix.NFT_MSG_DELTABLE, "berth"))
	f.Fuzz(func(_ *testing.T, data []byte) { removes(data, "berth") })
}
