package network

import (
	"net"
	"os"
	"testing"
	"time"

	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/kernel/ns"
)

// packets is a UDP socket at a port of a namespace.
func packets(t *testing.T, f *os.File, at string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	err := ns.WithNetNS(f, func() (err error) {
		c, err = net.ListenPacket("udp4", at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	return c
}

// says sends text to an address; hears is what comes, and from where.
func says(t *testing.T, c net.PacketConn, to net.Addr, text string) {
	t.Helper()
	if _, err := c.WriteTo([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

func hears(t *testing.T, c net.PacketConn) (string, net.Addr) {
	t.Helper()
	buf := make([]byte, 64)
	n, from, err := c.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n]), from
}

// TestNextHolder: the next container with an address hears nothing of what was
// for the one before, at a port that it did not publish; also if the engine was
// started anew in between.
func TestNextHolder(t *testing.T) {
	w := newWorld(t)
	w.create(nettypes.CreateRequest{Name: "tiny", IPAM: subnets("10.79.9.0/30")})
	peer := packets(t, w.outside, neighbour+":9")
	port := on("tiny")
	port.Ports = []PortSpec{{HostPort: 9999, ContainerPort: 7, Proto: "udp"}}
	for _, again := range []bool{false, true} {
		first := w.join("first", on("tiny"))
		out := packets(t, first.ns, ":7")
		says(t, out, peer.LocalAddr(), "hello")
		_, back := hears(t, peer)
		says(t, peer, back, "hello")
		hears(t, out)
		out.Close()
		if again {
			w.crash()
			w.start()
			if err := w.m.Prune(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		} else if err := w.m.Detach(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
		next := w.join("next", port)
		if next.ip() != first.ip() {
			t.Fatalf("%s, then %s", first.ip(), next.ip())
		}
		in := packets(t, next.ns, ":7")
		says(t, peer, back, "took")
		says(t, peer, &net.UDPAddr{IP: net.ParseIP(hostOutside), Port: 9999}, "done")
		if got, _ := hears(t, in); got != "done" {
			t.Errorf("engine started anew %v: the next one hears %q", again, got)
		}
		in.Close()
		if err := w.m.Detach(t.Context(), "next"); err != nil {
			t.Fatal(err)
		}
	}
}
