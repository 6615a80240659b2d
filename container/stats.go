package container

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/container/stats"
	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/sandbox"
)

// StatsOptions says how often to sample.
type StatsOptions struct {
	// Stream sends a sample each second until the container is removed or the
	// client leaves; else there is one.
	Stream bool
	// OneShot takes the one sample at once, without one before it.
	OneShot bool
}

// Stats hands samples of what a container uses to emit. Each holds the one
// before it, for differences; the first of a stream has none, that of a single
// request has one unless it is OneShot. The samples of a container that does
// not run hold only its name. Samples must not be changed.
func (s *Service) Stats(ctx context.Context, ref string, o StatsOptions, emit func(*container.StatsResponse) error) error {
	e, err := s.find(ref)
	if err != nil {
		return err
	}
	switch r := e.record(); {
	case o.Stream && o.OneShot:
		return invalid("cannot have stream=true and one-shot=true")
	case !o.Stream && (o.OneShot || !r.State.live()):
		source := &usage{s: s, e: e}
		defer source.Close()
		sample, err := stats.Sample(source)
		if errors.Is(err, stats.ErrGone) {
			return notFound("No such container: %s", ref)
		}
		if err != nil {
			return err
		}
		return emit(sample)
	}
	sub := s.stats.Subscribe(e.id, func() stats.Source { return &usage{s: s, e: e} })
	defer sub.Close()
	var before container.StatsResponse
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return nil
		case shared, ok := <-sub.C:
			if !ok {
				return sub.Err()
			}
			if first && !o.Stream {
				before = *shared
				continue
			}
			sample := *shared
			sample.PreRead, sample.PreCPUStats = before.Read, before.CPUStats
			before = *shared
			if err := emit(&sample); err != nil || !o.Stream {
				return err
			}
		}
	}
}

// usage is what one container uses, as a source of samples.
type usage struct {
	s *Service
	e *entry

	mu     sync.Mutex
	box    *sandbox.Sandbox // whose counters are open; nil: none
	reader *cgroup.StatsReader
	closed bool
}

// Close closes the counters.
func (u *usage) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.use(nil)
}

// use changes to the counters of another run.
func (u *usage) use(box *sandbox.Sandbox) {
	if u.box == box {
		return
	}
	if u.box != nil {
		_ = u.reader.Close() // only read
	}
	if u.box = box; box != nil {
		u.reader = box.OpenStats()
	}
}

// Sample fills in what the container uses now; only its name if it does not
// run.
func (u *usage) Sample(into *container.StatsResponse) error {
	r := u.e.record()
	if u.s.index.get(u.e.id) != u.e {
		return stats.ErrGone
	}
	into.ID, into.Name = r.ID, "/"+r.Name
	box := u.e.streams.current()
	if !r.State.live() {
		box = nil
	}
	var g cgroup.Stats
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return stats.ErrGone
	}
	u.use(box)
	if box == nil {
		return nil
	}
	read := time.Now().UTC()
	err := u.reader.Read(&g)
	if errdefs.IsNotFound(err) {
		u.use(nil) // it has just ended
		return nil
	}
	if err != nil {
		return err
	}
	into.Read, into.OSType = read, "linux"
	stats.Group(into, &g, cgroup.Detect() == cgroup.V2)
	if r.HostConfig.NetworkMode.IsHost() {
		return nil
	}
	into.Networks, err = stats.Networks(box.Pid())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL) {
		return nil // process 1 has just ended
	}
	return err
}
