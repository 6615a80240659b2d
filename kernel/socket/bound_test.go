package socket

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
)

func TestParseBound(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
nonsense
`
	got := fmt.Sprint(parseBound(text, true))
	if want := "[{127.0.0.1:8080 4711} {[::1]:80 4713}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := len(parseBound(text, false)); n != 3 {
		t.Errorf("%d of udp", n)
	}
}

func TestInTheWay(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := netip.MustParseAddrPort(l.Addr().String())
	us := fmt.Sprintf("process %d (", os.Getpid())
	for _, a := range []string{"127.0.0.1", "0.0.0.0", "::"} {
		got := InTheWay("tcp", netip.AddrPortFrom(netip.MustParseAddr(a), addr.Port()))
		if len(got) < len(us) || got[:len(us)] != us {
			t.Errorf("%s: %q, want %q", a, got, us)
		}
	}
	if got := InTheWay("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), addr.Port())); got != "" {
		t.Errorf("127.0.0.2: %q", got)
	}
}
