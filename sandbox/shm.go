package sandbox

import (
	"fmt"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/mount"
)

// Shm returns a detached copy of the tmpfs at the container's /dev/shm, for
// another one that shares its IPC namespace (Bundle.Sources). Errors:
// errdefs.NotFound when process 1 has ended, FailedPrecondition when the
// container has no tmpfs there.
func (s *Sandbox) Shm() (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		return nil, fmt.Errorf("shared memory of %s: %w", s.id, err)
	}
	if s.over() {
		return fail(errdefs.ErrNotFound)
	}
	namespace, err := s.Namespace("mnt")
	if err != nil {
		return nil, err
	}
	view, err := mount.OpenView(namespace)
	if err != nil {
		return fail(err)
	}
	defer view.Close()
	f, err := view.CloneTmpfs("/dev/shm")
	if err != nil {
		return fail(err)
	}
	return f, nil
}
