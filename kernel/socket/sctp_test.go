package socket

import (
	"errors"
	"net/netip"
	"testing"
)

// TestListenSCTP: at addresses of both families, on the same port; or the kernel
// has no SCTP, and that is what is said.
func TestListenSCTP(t *testing.T) {
	four, err := ListenSCTP(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if errors.Is(err, ErrNoSCTP) {
		if _, err := ListenSCTP(t.Context(), netip.MustParseAddrPort("[::1]:0")); !errors.Is(err, ErrNoSCTP) {
			t.Errorf("IPv6: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	at, err := netip.ParseAddrPort(four.Addr().String())
	if err != nil || at.Addr().String() != "127.0.0.1" || at.Port() == 0 {
		t.Fatalf("it listens at %s: %v", four.Addr(), err)
	}
	six, err := ListenSCTP(t.Context(), netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer six.Close()
	if got := six.Addr().String(); got != netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()).String() {
		t.Errorf("it listens at %s", got)
	}
}
