package socket

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

func TestConnectTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		at := netip.MustParseAddrPort(l.Addr().String())
		c, err := ConnectTCP(at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		c.Close()
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(in); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", at, got, err)
		}
		in.Close()
		l.Close()
		if c, err = ConnectTCP(at); err == nil {
			_, err = c.Write([]byte("hello"))
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: nobody listens, and yet: %v", at, err)
		}
	}
}
