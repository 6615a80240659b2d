package network

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/socket"
)

// sctp opens an SCTP socket of one association.
func sctp() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP) }

// TestSCTP: a published port of SCTP leads to the container; where the kernel
// has no SCTP, that is said, and nothing is left.
func TestSCTP(t *testing.T) {
	w := newWorld(t)
	before := settled(t)
	port := PortSpec{HostPort: 8080, ContainerPort: 80, Proto: "sctp"}
	fd, err := sctp()
	if err != nil {
		_, _, err := w.m.Attach(t.Context(), Desired{ID: "a", Ports: []PortSpec{port}})
		if p, ok := errors.AsType[*PortError](err); !ok || !strings.Contains(p.Error(), socket.ErrNoSCTP.Error()) || !strings.Contains(p.Error(), "8080/sctp") {
			t.Errorf("without SCTP: %v", err)
		}
		w.sameAs(before)
		return
	}
	defer unix.Close(fd)
	a := w.attach("a", port, tcp("", 8080, 80))
	var listener int
	if err := ns.WithNetNS(a.ns, func() (err error) {
		if listener, err = sctp(); err != nil {
			return err
		}
		return errors.Join(unix.Bind(listener, &unix.SockaddrInet4{Port: 80}), unix.Listen(listener, 4))
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	go func() {
		c, _, err := unix.Accept(listener)
		if err == nil {
			_, _ = unix.Write(c, []byte("hello"))
			_ = unix.Close(c)
		}
	}()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(os.NewSyscallError("connect", err))
	}
	buf := make([]byte, 16)
	if n, err := unix.Read(fd, buf); err != nil || string(buf[:n]) != "hello" {
		t.Errorf("%q, %v", buf[:max(n, 0)], err)
	}
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "b", Ports: []PortSpec{port}}); err == nil || !strings.Contains(err.Error(), "port is already allocated") {
		t.Errorf("twice: %v", err)
	}
}

// TestSCTPPolicy: what berth-netd would have to pass on cannot be published.
func TestSCTPPolicy(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Policy = PolicyHost })
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "a", Ports: []PortSpec{{HostPort: 8080, ContainerPort: 80, Proto: "sctp"}}}); err == nil || !strings.Contains(err.Error(), "publish-policy host") {
		t.Errorf("%v", err)
	}
}
