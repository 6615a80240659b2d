package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/stage"
)

// Mount adds a bind mount or a tmpfs to the mounts of the container while it
// runs. Options and rules are those of Bundle.Spec.Mounts. If it fails, nothing
// is mounted, though the directories of the mount point may have been made. The
// error is errdefs.FailedPrecondition when the container has ended and
// errdefs.NotImplemented for one with a user namespace of its own.
func (s *Sandbox) Mount(ctx context.Context, m *specs.Mount) error {
	v, err := s.mounts(ctx, "mount")
	if err != nil {
		return err
	}
	if err := stage.MountIn(v, m); err != nil {
		return errors.Join(err, v.Close())
	}
	return v.Close()
}

// Unmount takes a mount off the container while it runs. What processes have
// open there stays usable to them. The error is errdefs.NotFound if nothing is
// mounted at dest.
func (s *Sandbox) Unmount(ctx context.Context, dest string) error {
	v, err := s.mounts(ctx, "unmount")
	if err != nil {
		return err
	}
	err = v.Unmount(dest)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%s: nothing is mounted at %s: %w", s.id, dest, errdefs.ErrNotFound)
	}
	return errors.Join(err, v.Close())
}

// Mounted tells whether something is mounted at dest in the container.
func (s *Sandbox) Mounted(ctx context.Context, dest string) (bool, error) {
	v, err := s.mounts(ctx, "look at the mounts of")
	if err != nil {
		return false, err
	}
	found, err := v.Mounted(dest)
	return found, errors.Join(err, v.Close())
}

// mounts opens the mount namespace of the container.
func (s *Sandbox) mounts(ctx context.Context, verb string) (*mount.View, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	user, err := s.Namespace("user")
	if errdefs.IsNotFound(err) {
		return nil, s.ended(verb)
	}
	if err != nil {
		return nil, err
	}
	defer user.Close()
	own, err := os.Open("/proc/self/ns/user")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	if same, err := ns.Same(user, own); err != nil || !same {
		return nil, errors.Join(err, fmt.Errorf("%s %s: it has a user namespace of its own: %w", verb, s.id, errdefs.ErrNotImplemented))
	}
	namespace, err := s.Namespace("mnt")
	if errdefs.IsNotFound(err) {
		return nil, s.ended(verb)
	}
	if err != nil {
		return nil, err
	}
	return mount.OpenView(namespace)
}
