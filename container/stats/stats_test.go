package stats

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
)

func TestParse(t *testing.T) {
	h := parseHost([]byte("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5 cpu 3\ncpu2 0\n"))
	if h.cpu != 28*nanosPerTick || h.online != 2 {
		t.Errorf("%+v", h)
	}
	n := parseNetworks([]byte("Inter-|   Receive |  Transmit\n face |bytes packets\n    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nshort: 1\n"))
	want := container.NetworkStats{RxBytes: 1, RxPackets: 2, RxErrors: 3, RxDropped: 4, TxBytes: 9, TxPackets: 10, TxErrors: 11, TxDropped: 12}
	if len(n) != 1 || n["eth0"] != want {
		t.Errorf("%+v", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("cpu 1\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		parseHost(text)
		parseNetworks(text)
	})
}

type fakeSource func(*container.StatsResponse) error

func (f fakeSource) Sample(s *container.StatsResponse) error { return f(s) }

func (f fakeSource) Close() {}

// TestShared: all who listen get the same sample of one reading; the end of a
// source is theirs, and nobody is left behind.
func TestShared(t *testing.T) {
	var c Collector
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	read := make(chan struct{}, 64)
	opened := 0
	source := func() Source {
		opened++
		return fakeSource(func(s *container.StatsResponse) error {
			read <- struct{}{}
			s.Read = time.Now()
			return nil
		})
	}
	one, two := c.Subscribe("a", source), c.Subscribe("a", source)
	if s := <-one.C; s.CPUStats.SystemUsage == 0 {
		t.Errorf("%+v", s)
	}
	<-two.C
	a, b := <-one.C, <-two.C
	if opened != 1 || a != b && len(read) > 4 {
		t.Errorf("%d sources; two readings for one second: %d", opened, len(read))
	}
	two.Close()
	two.Close()
	ending := c.Subscribe("b", func() Source { return fakeSource(func(*container.StatsResponse) error { return ErrGone }) })
	if _, ok := <-ending.C; ok {
		t.Error("a sample of what is gone")
	}
	failing := c.Subscribe("c", func() Source {
		return fakeSource(func(*container.StatsResponse) error { return errors.New("not now") })
	})
	if _, ok := <-failing.C; ok || failing.Err() == nil {
		t.Errorf("a sample from a failing source, or no error: %v", failing.Err())
	}
	failing.Close()
	cancel()
	<-done
	for range one.C {
	}
	if err := one.Err(); err != nil {
		t.Errorf("the end of the collector: %v", err)
	}
	if len(c.feed) != 0 {
		t.Errorf("left: %v", c.feed)
	}
}
