package container

import (
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

var errEnough = errors.New("enough")

func TestStats(t *testing.T) {
	e := newEngine(t)
	id := e.create(request("sleep"))
	ctx := t.Context()
	one := func(o StatsOptions) (got container.StatsResponse) {
		t.Helper()
		n := 0
		if err := e.Stats(ctx, id, o, func(s *container.StatsResponse) error { got = *s; n++; return nil }); err != nil || n != 1 {
			t.Fatalf("%d samples, %v", n, err)
		}
		return got
	}
	for _, o := range []StatsOptions{{}, {OneShot: true}} {
		if s := one(o); s.ID != id || s.Name == "" || !s.Read.IsZero() || s.CPUStats.SystemUsage != 0 {
			t.Errorf("of one that does not run: %+v", s)
		}
	}
	e.start(id)
	e.follow(id, "ready")
	s := one(StatsOptions{OneShot: true})
	if s.Read.IsZero() || !s.PreRead.IsZero() || s.CPUStats.CPUUsage.TotalUsage == 0 || s.CPUStats.SystemUsage == 0 || s.CPUStats.OnlineCPUs == 0 ||
		s.PidsStats.Current == 0 || s.MemoryStats.Usage == 0 || s.MemoryStats.Limit == 0 || len(s.MemoryStats.Stats) == 0 || s.OSType != "linux" {
		t.Errorf("one shot: %+v", s)
	}
	if len(s.Networks) != 1 {
		t.Errorf("networks: %v", s.Networks)
	}
	if s := one(StatsOptions{}); s.PreRead.IsZero() || !s.PreRead.Before(s.Read) || s.PreCPUStats.SystemUsage == 0 || s.PreCPUStats.SystemUsage > s.CPUStats.SystemUsage {
		t.Errorf("with the one before: %+v", s)
	}

	// A stream has the first at once, without one before it, and each has the
	// one before; it ends with the container's removal.
	var got []container.StatsResponse
	err := e.Stats(ctx, id, StatsOptions{Stream: true}, func(s *container.StatsResponse) error {
		if got = append(got, *s); len(got) == 2 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || !got[0].PreRead.IsZero() || got[1].PreRead != got[0].Read || got[1].PreCPUStats.CPUUsage.TotalUsage != got[0].CPUStats.CPUUsage.TotalUsage {
		t.Errorf("%v, %+v", err, got)
	}
	err = e.Stats(ctx, id, StatsOptions{Stream: true}, func(*container.StatsResponse) error {
		return e.Remove(ctx, id, RemoveOptions{Force: true})
	})
	if err != nil {
		t.Errorf("the end of a stream: %v", err)
	}
	if err := e.Stats(ctx, id, StatsOptions{}, func(*container.StatsResponse) error { return nil }); !errdefs.IsNotFound(err) {
		t.Errorf("removed: %v", err)
	}
	other := e.create(request("true"))
	if err := e.Stats(ctx, other, StatsOptions{Stream: true, OneShot: true}, nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("both: %v", err)
	}
}
