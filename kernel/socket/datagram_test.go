package socket

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestEachDatagram: what comes is handed out, an error about an earlier datagram
// is passed over, and the deadline ends it.
func TestEachDatagram(t *testing.T) {
	l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := l.LocalAddr().(*net.UDPAddr)
	c, err := net.DialUDP("udp4", nil, at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.Close()
	if _, err := c.Write([]byte("refused")); err != nil {
		t.Fatal(err)
	}
	if l, err = net.ListenUDP("udp4", at); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	send := func(text string) {
		t.Helper()
		if _, err := l.WriteTo([]byte(text), c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	buffers := sync.Pool{New: func() any { return new([DatagramSize]byte) }}
	var got []string
	send("one")
	err = EachDatagram(c, &buffers, func(b []byte) {
		if got = append(got, string(b)); len(got) < 3 {
			send([]string{"two", "three"}[len(got)-1])
			return
		}
		if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
	})
	if !slices.Equal(got, []string{"one", "two", "three"}) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%q, %v", got, err)
	}
	c.Close()
	if err := EachDatagram(c, &buffers, func([]byte) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("of a closed socket: %v", err)
	}
}
