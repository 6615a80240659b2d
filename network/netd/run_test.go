package netd

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
)

// TestRuns: what is held without sockets is in the way of others as long as it is
// held, whichever way it comes and goes.
func TestRuns(t *testing.T) {
	s := NewServer(slog.New(slog.DiscardHandler))
	socket, _ := serve(t, s)
	client := dial(t, socket)
	run := Port{HostIP: netip.MustParseAddr("127.0.0.9"), HostPort: 20000, Proto: "udp", ContainerIP: loopback, ContainerPort: 20000, Count: 300}
	one := run
	one.HostPort, one.Count = 20200, 0
	taken := func(want bool) {
		t.Helper()
		_, err := client.Reserve("other", Member{}, []Port{one})
		refused, _ := errors.AsType[*RefusalError](err)
		if want != (refused != nil) || err != nil && refused == nil {
			t.Errorf("refused %v, %v; want %v", refused, err, want)
		}
		if err := client.Release("other"); err != nil {
			t.Fatal(err)
		}
	}
	taken(false)
	got, err := client.Reserve("c1", Member{}, []Port{run})
	if err != nil {
		t.Fatal(err)
	}
	taken(true)
	if _, err := client.Change("c1", Member{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	taken(false)
	if _, err := client.Change("c1", Member{}, nil, []Port{run}); err != nil {
		t.Fatal(err)
	}
	taken(true)
	if err := client.Release("c1"); err != nil {
		t.Fatal(err)
	}
	taken(false)
	if err := client.Restore("c1", Member{}, got, nil); err != nil {
		t.Fatal(err)
	}
	taken(true)
	if err := client.Release("c1"); err != nil || len(s.runs) > 0 {
		t.Errorf("%v; left: %v", err, s.runs)
	}
}
