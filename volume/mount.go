package volume

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/hostmount"
)

// Mount makes the data of a volume usable by what runs: user, a container's ID.
// A volume with a device is mounted, unless it is already. After a restart of
// the daemon it is called again for each user that still runs. The volume is
// found as by Resolve; what is returned is it as it is now.
func (s *Store) Mount(ctx context.Context, id, name, user string) (Volume, error) {
	e, err := s.lockResolved(id, name)
	if err != nil {
		return Volume{}, err
	}
	defer e.busy.Unlock()
	v := s.current(e)
	if v.remote() {
		if err := s.mountRemote(ctx, e, &v, user); err != nil {
			return Volume{}, err
		}
		s.mu.Lock()
		known := *e.vol
		known.Path = v.Path
		e.vol = &known
		s.mu.Unlock()
	}
	if v.hasDevice() {
		mounted, err := hostmount.Mounted(v.Path)
		if err != nil {
			return Volume{}, fmt.Errorf("mount volume %s: %w", v.Name, err)
		}
		if !mounted {
			if err := v.mountDevice(ctx); err != nil {
				return Volume{}, err
			}
		}
	}
	e.mounts[user]++
	return v, nil
}

// Unmount ends a use that began with Mount; after the last one, a device is
// unmounted. It is no error if there is no such use.
func (s *Store) Unmount(id, name, user string) (Volume, error) {
	e, err := s.lockResolved(id, name)
	if err != nil {
		return Volume{}, err
	}
	defer e.busy.Unlock()
	v := s.current(e)
	if e.mounts[user]--; e.mounts[user] <= 0 {
		delete(e.mounts, user)
	}
	return v, s.settle(e, &v, unmountTime)
}

// settle unmounts a device that nobody uses, and what a driver has mounted for
// who does not use it any more. The caller holds the volume.
func (s *Store) settle(e *entry, v *Volume, limit time.Duration) error {
	if v.remote() {
		return s.unmountRemote(e, v, limit)
	}
	if !v.hasDevice() || len(e.mounts) > 0 {
		return nil
	}
	mounted, err := hostmount.Mounted(v.Path)
	if err == nil && mounted {
		err = hostmount.Unmount(v.Path)
	}
	if err != nil {
		return fmt.Errorf("unmount volume %s: %w", v.Name, err)
	}
	return nil
}

// Settle unmounts the devices of volumes that nothing uses any more: called
// once after a restart, when all that runs has been told.
func (s *Store) Settle() {
	s.settled.Store(true)
	s.mu.Lock()
	all := make([]*entry, 0, len(s.byName))
	for _, e := range s.byName {
		all = append(all, e)
	}
	s.mu.Unlock()
	for _, e := range all {
		e.busy.Lock()
		v := s.current(e)
		if err := s.settle(e, &v, settleTime); err != nil {
			s.log.Warn("cannot unmount a volume", "volume", v.Name, "err", err)
		}
		e.busy.Unlock()
	}
}

// lockResolved holds the volume that Resolve returns.
func (s *Store) lockResolved(id, name string) (*entry, error) {
	s.mu.Lock()
	e := s.byID[id]
	s.mu.Unlock()
	if e == nil {
		return s.lock(name)
	}
	e.busy.Lock()
	s.mu.Lock()
	alive := s.byID[id] == e
	s.mu.Unlock()
	if !alive {
		e.busy.Unlock()
		return nil, fail(errdefs.ErrNotFound, "get %s: no such volume", name)
	}
	return e, nil
}
