package volume

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/hostmount"
)

// Remove deletes a volume with its data and snapshots; a volume in use is a
// conflict. What a volume with a device shows is not its data, and stays. One that
// only a driver knows is removed there.
func (s *Store) Remove(ctx context.Context, name string) error {
	_, err := s.remove(ctx, name, removal{})
	if errdefs.IsNotFound(err) {
		return s.removeFound(ctx, name)
	}
	return err
}

// ForceRemove is Remove that forgets a volume also if its driver fails, or is
// gone.
func (s *Store) ForceRemove(ctx context.Context, name string) error {
	_, err := s.remove(ctx, name, removal{force: true})
	return err
}

// removal says how a volume is removed.
type removal struct{ measure, force bool }

// WouldRemove tells how many bytes Remove would free, or why it would refuse.
func (s *Store) WouldRemove(ctx context.Context, name string) (size int64, err error) {
	e, err := s.lock(name)
	if err != nil {
		return 0, err
	}
	defer e.busy.Unlock()
	s.mu.Lock()
	v, users := *e.vol, e.allNames()
	s.mu.Unlock()
	if len(users) > 0 {
		return 0, inUse(v.Name, users)
	}
	return s.ownSize(ctx, &v), nil
}

func inUse(name string, users []string) error {
	return fail(errdefs.ErrConflict, "remove %s: volume is in use - [%s]", name, strings.Join(users, ", "))
}

// ownSize is how many bytes would go with a volume: what a device shows stays.
func (s *Store) ownSize(ctx context.Context, v *Volume) int64 {
	if v.hasDevice() || v.remote() {
		return 0
	}
	size, err := sizeOf(ctx, v.Path)
	if err != nil {
		s.log.Warn("cannot measure a volume", "volume", v.Name, "err", err)
	}
	return size
}

func (s *Store) remove(ctx context.Context, name string, how removal) (size int64, err error) {
	e, err := s.lock(name)
	if err != nil {
		return 0, err
	}
	v := s.current(e)
	if how.measure {
		size = s.ownSize(ctx, &v)
	}
	if v.remote() {
		if err := s.removeRemote(ctx, e, &v, how.force); err != nil {
			e.busy.Unlock()
			return 0, err
		}
	}
	gone, err := s.takeAway(e, &v)
	e.busy.Unlock()
	if err != nil {
		return 0, err
	}
	s.Publish(v, events.ActionDestroy)
	if err := fault.Point("volume.remove.renamed"); err != nil {
		return 0, fmt.Errorf("remove %s: %w", name, err)
	}
	if err := s.discard(gone); err != nil {
		return 0, fmt.Errorf("remove %s: %w", name, err)
	}
	s.dropLimit(&v)
	return size, nil
}

// takeAway takes the name away at once: the data may take long. The caller
// holds the volume.
func (s *Store) takeAway(e *entry, v *Volume) (gone string, err error) {
	if len(e.mounts) == 0 && !v.remote() {
		// Nobody should have left a mount; what is behind it must not be deleted.
		if mounted, err := hostmount.Mounted(v.Path); err != nil || mounted {
			if err == nil {
				err = hostmount.Unmount(v.Path)
			}
			if err != nil {
				return "", fmt.Errorf("remove %s: %w", v.Name, err)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(e.users) > 0 || len(e.mounts) > 0 {
		return "", inUse(v.Name, e.allNames())
	}
	gone = halfGone + v.ID
	if err := s.claim(v.Name, gone); err != nil {
		return "", fmt.Errorf("remove %s: %w", v.Name, err)
	}
	delete(s.byName, v.Name)
	delete(s.byID, v.ID)
	return gone, nil
}

// removeRemote has the driver remove a volume that nobody uses. From then on
// nobody can begin to. The caller holds the volume.
func (s *Store) removeRemote(ctx context.Context, e *entry, v *Volume, force bool) error {
	s.mu.Lock()
	if users := e.allNames(); len(users) > 0 {
		s.mu.Unlock()
		return inUse(v.Name, users)
	}
	e.going = true
	s.mu.Unlock()
	d, err := s.driver(ctx, v.Driver)
	if err == nil {
		err = errors.Join(s.unmountRemote(e, v, unmountTime), d.remove(ctx, v.Name))
	}
	switch {
	case err == nil:
		return nil
	case force:
		s.log.Warn("a volume was removed without its driver", "volume", v.Name, "driver", v.Driver, "err", err)
		return nil
	}
	s.mu.Lock()
	e.going = false
	s.mu.Unlock()
	return fmt.Errorf("remove %s: %w", v.Name, err)
}
