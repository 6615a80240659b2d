package container

import (
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// OwnRuntime names the runtime that is part of the engine. A name that no other
// runtime has is taken for it, too, if it is how clients and Compose files
// call Docker's default.
const OwnRuntime = "berth"

var likeOwn = []string{"", OwnRuntime, "runc", "io.containerd.runc.v2"}

// runtimes are the OCI runtimes besides the engine's own.
type runtimes struct {
	commands  map[string][]string
	byDefault string
}

// SetRuntimes replaces Defaults.Runtimes and Defaults.Runtime. A container whose
// runtime is not there any more cannot be started; what runs goes on.
func (s *Service) SetRuntimes(commands map[string][]string, byDefault string) {
	s.runtimes.Store(&runtimes{commands, byDefault})
}

// chooseRuntime settles which runtime the container has, for good.
func (s *Service) chooseRuntime(h *container.HostConfig) error {
	if h.Runtime == "" {
		h.Runtime = s.runtimes.Load().byDefault
	}
	command, err := s.runtimeCommand(h.Runtime)
	if err != nil || command == nil {
		return err
	}
	if h.Init != nil && *h.Init {
		return fail(errdefs.ErrNotImplemented, "an init process (Init) under the runtime %s: only Berth's own has one", h.Runtime)
	}
	return nil
}

// runtimeCommand is how to call another runtime; nil for the engine's own.
func (s *Service) runtimeCommand(name string) ([]string, error) {
	if command, ok := s.runtimes.Load().commands[name]; ok {
		return command, nil
	}
	if slices.Contains(likeOwn, name) {
		return nil, nil
	}
	return nil, invalid("unknown or invalid runtime name: %s", name)
}
