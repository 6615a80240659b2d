package netd

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// within has the process open no more than a number of descriptors until the
// test ends.
func within(t *testing.T, n uint64) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	})
}

// TestCrowd: however many connect to a published port, the engine is heard, and
// who is connected stays so.
func TestCrowd(t *testing.T) {
	within(t, 1200) // the clients and the container are of this process, too
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	target := echo(t)
	client := dial(t, socket)
	port := Port{HostIP: loopback, Proto: "tcp", ContainerIP: target.Addr(), ContainerPort: target.Port()}
	got, err := client.Reserve("c1", Member{}, []Port{port})
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(loopback, got[0].HostPort).String()
	first := connect(t, at)
	served, refused := 0, 0
	for range 150 {
		c, err := net.Dial("tcp", at)
		if errors.Is(err, syscall.ECONNRESET) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err = c.Write([]byte("?")); err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		if err == nil {
			served++
		} else {
			refused++
		}
	}
	if served == 0 || refused == 0 {
		t.Errorf("%d are served, %d refused", served, refused)
	}
	say(t, first, "still here")
	if _, err := client.Reserve("c2", Member{}, []Port{port}); err != nil {
		t.Error(err)
	}
	dial(t, socket)
}

// TestNoDescriptors: who cannot accept the engine's connection tries again.
func TestNoDescriptors(t *testing.T) {
	within(t, 300)
	socket, done := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	for range 20 {
		all := fill(t)
		all[0].Close()
		c, err := net.Dial("unix", socket) // the last one; there is none to accept it with
		for _, f := range all[1:] {
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	heard := make(chan error, 1)
	go func() {
		c, err := Dial(t.Context(), socket)
		if err == nil {
			err = c.Close()
		}
		heard <- err
	}()
	select {
	case err := <-done:
		t.Errorf("the server ended: %v", err)
	case err := <-heard:
		if err != nil {
			t.Error(err)
		}
	}
}

// fill opens files until no more can be opened.
func fill(t *testing.T) (all []*os.File) {
	t.Helper()
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
}

// TestManyPeers: who sends under more addresses than are remembered shuts nobody
// out.
func TestManyPeers(t *testing.T) {
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan struct{}, 1)
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			if string(buf[:n]) == "flood" {
				heard <- struct{}{}
				continue
			}
			_, _ = l.WriteTo(buf[:n], from)
		}
	}()
	target := netip.MustParseAddrPort(l.LocalAddr().String())
	got, err := dial(t, socket).Reserve("c1", Member{}, []Port{{HostIP: loopback, Proto: "udp", ContainerIP: target.Addr(), ContainerPort: target.Port()}})
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(loopback, got[0].HostPort).String()
	for i := range maxPeers {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}}
		c, err := d.Dial("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("flood")); err != nil {
			t.Fatal(err)
		}
		<-heard
		c.Close()
	}
	c, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	say(t, c, "me, too")
}
