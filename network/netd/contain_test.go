package netd

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// broken is a port of an owner that no code can deal with: its door has no
// socket, so whoever shuts it panics.
func (s *Server) broken(owner string, port uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &held{owner: owner, Binding: Binding{HostIP: loopback, HostPort: port, Proto: "tcp", ContainerIP: loopback, ContainerPort: 9}}
	s.open(&door{served: true}, h)
	s.held[owner] = append(s.held[owner], h)
}

// TestPanic: a request that panics in the middle of a change is answered by an
// error and leaves what was before it; connections and other owners notice
// nothing, and the next request is served.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	s := NewServer(slog.New(slog.NewTextHandler(&log, nil)))
	socket, _ := serve(t, s)
	c := dial(t, socket)
	target, one, two, wanted, bad := echo(t), free(t), free(t), free(t), free(t)
	port := func(host uint16) Port {
		return Port{HostIP: loopback, HostPort: host, Proto: "tcp", ContainerIP: target.Addr(), ContainerPort: target.Port()}
	}
	if _, err := c.Reserve("other", Member{}, []Port{port(one)}); err != nil {
		t.Fatal(err)
	}
	was, err := c.Reserve("c", Member{}, []Port{port(two)})
	if err != nil {
		t.Fatal(err)
	}
	at := func(port uint16) string { return netip.AddrPortFrom(loopback, port).String() }
	lasting := connect(t, at(one))

	s.broken("c", bad) // change closes two, and stumbles over this one
	_, err = c.Change("c", Member{}, nil, []Port{port(wanted)})
	if err == nil || !strings.Contains(err.Error(), `internal error in "change"`) {
		t.Errorf("change: %v", err)
	}
	if !strings.Contains(log.String(), "stack=") || !strings.Contains(log.String(), "closeAll") {
		t.Errorf("the log does not say where it was:\n%s", log.String())
	}
	say(t, lasting, "still there")
	held, _, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(held["other"]) != 1 || len(held["c"]) != 2 || held["c"][0] != was[0] {
		t.Errorf("held: %+v", held)
	}
	for _, p := range []uint16{one, two, bad} {
		if l, err := net.Listen("tcp4", at(p)); err == nil {
			l.Close()
			t.Errorf("port %d is nobody's", p)
		}
	}
	connect(t, at(two))
	l, err := net.Listen("tcp4", at(wanted))
	if err != nil {
		t.Errorf("what the request had opened stays: %v", err)
	} else {
		l.Close()
	}

	s.broken("c", free(t))
	if err := c.Release("c"); err == nil {
		t.Error("release: no error")
	}
	if held, _, err = c.List(); err != nil || len(held) != 1 {
		t.Errorf("held: %+v, %v", held, err)
	}
	if _, err := c.Reserve("d", Member{}, []Port{port(two), port(wanted)}); err != nil {
		t.Errorf("the next request: %v", err)
	}
}
