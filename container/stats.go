package container

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/container/stats"
	"github.com/berth-engine/berth/kernel/cgroup"
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
	source := func(r *container.StatsResponse) error { return s.sample(e, r) }
	switch r := e.record(); {
	case o.Stream && o.OneShot:
		return invalid("cannot have stream=true and one-shot=true")
	case !o.Stream && (o.OneShot || !r.State.live()):
		sample, err := stats.Sample(source)
		if errors.Is(err, stats.ErrGone) {
			return notFound("No such container: %s", ref)
		}
		if err != nil {
			return err
		}
		return emit(sample)
	}
	sub := s.stats.Subscribe(e.id, source)
	defer sub.Close()
	var before container.StatsResponse
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return nil
		case shared, ok := <-sub.C:
			if !ok {
				return nil
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

// sample fills in what the container uses now; only its name if it does not
// run.
func (s *Service) sample(e *entry, into *container.StatsResponse) error {
	r := e.record()
	if s.index.get(e.id) != e {
		return stats.ErrGone
	}
	into.ID, into.Name = r.ID, "/"+r.Name
	box := e.streams.current()
	if box == nil || !r.State.live() {
		return nil
	}
	var g cgroup.Stats
	read := time.Now().UTC()
	err := box.Stats(&g)
	if errdefs.IsNotFound(err) {
		return nil // it has just ended
	}
	if err != nil {
		return err
	}
	into.Read, into.OSType = read, "linux"
	stats.Group(into, &g, cgroup.Detect() == cgroup.V2)
	if !r.HostConfig.NetworkMode.IsHost() {
		into.Networks, err = stats.Networks(box.Pid())
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EINVAL) {
		err = nil // process 1 has just ended
	}
	return err
}
