package sandbox

import (
	"context"
	"errors"
	"io/fs"

	"github.com/berth-engine/berth/kernel/cgroup"
)

// An OOMKill is a process of a container that the kernel killed for want of
// memory.
type OOMKill = cgroup.OOMKill

// Watch waits as Wait does, and calls killed for each process that the kernel
// kills for want of memory before the container's end: in this daemon's time,
// that is since Launch or Adopt.
func (s *Sandbox) Watch(ctx context.Context, killed func(OOMKill)) (Exit, error) {
	w := s.watchMemory()
	if w == nil {
		return s.Wait(ctx)
	}
	defer w.Close()
	tell := func(kills []OOMKill) {
		for _, k := range kills {
			killed(k)
		}
	}
	for {
		select {
		case <-w.Ready():
			tell(w.Take())
		case <-s.done:
			tell(w.Look()) // the news of the end may have been quicker
			return s.exit, nil
		case <-s.gone:
			return s.Wait(ctx)
		case <-ctx.Done():
			return Exit{}, ctx.Err()
		}
	}
}

// watchMemory returns nil if there is nothing to watch.
func (s *Sandbox) watchMemory() *cgroup.OOMWatch {
	if s.r.memory == nil {
		return nil
	}
	w, err := s.r.memory.Watch(s.group, s.oomSeen)
	if err == nil {
		return w
	}
	if !errors.Is(err, fs.ErrNotExist) && !s.over() {
		s.r.log.Warn("kills for want of memory are told only at the end", "container", s.id, "err", err)
	}
	return nil
}

// OutOfMemory tells whether the kernel has killed a process of the container
// for want of memory, at any time.
func (s *Sandbox) OutOfMemory() bool {
	n, err := s.group.OOMKills()
	return err == nil && n > 0
}
