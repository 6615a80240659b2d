package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/berth-engine/berth/sandbox/state"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A Kind says when a hook runs.
type Kind string

// The kinds, in the order of a container's life. The first two and the last two
// run in the runtime's namespaces, createContainer in the container's before
// pivot_root, startContainer inside the container.
const (
	Prestart        Kind = "prestart"
	CreateRuntime   Kind = "createRuntime"
	CreateContainer Kind = "createContainer"
	StartContainer  Kind = "startContainer"
	Poststart       Kind = "poststart"
	Poststop        Kind = "poststop"
)

// Of returns the hooks of a kind. h may be nil.
func (k Kind) Of(h *specs.Hooks) []specs.Hook {
	if h == nil {
		return nil
	}
	switch k {
	case Prestart:
		return h.Prestart //nolint:staticcheck // deprecated, but in use (libnetwork)
	case CreateRuntime:
		return h.CreateRuntime
	case CreateContainer:
		return h.CreateContainer
	case StartContainer:
		return h.StartContainer
	case Poststart:
		return h.Poststart
	case Poststop:
		return h.Poststop
	}
	return nil
}

// Kinds are all of them, in order.
var Kinds = []Kind{Prestart, CreateRuntime, CreateContainer, StartContainer, Poststart, Poststop}

// A Runner runs hooks. The zero value is ready to use.
type Runner struct {
	// Exe is for callers that ignore signals, which a hook would inherit: it
	// is an open program that calls Main when os.Args[0] is Name. Hooks are
	// executed by way of it.
	Exe *os.File
}

// Run runs the hooks of a kind up to the first that fails. s is what they get;
// its Status and Pid are the caller's to set. The error names the hook and has
// the beginning of what it wrote, or is that of ctx, whose end kills the hook.
func (r *Runner) Run(ctx context.Context, kind Kind, h *specs.Hooks, s *specs.State) error {
	for i := range kind.Of(h) {
		if err := r.number(ctx, kind, i, h, s); err != nil {
			return err
		}
	}
	return nil
}

// RunEach runs all hooks of a kind, whatever becomes of those before, as the
// specification wants it for poststop. The error joins all errors.
func (r *Runner) RunEach(ctx context.Context, kind Kind, h *specs.Hooks, s *specs.State) error {
	var errs []error
	for i := range kind.Of(h) {
		errs = append(errs, r.number(ctx, kind, i, h, s))
	}
	return errors.Join(errs...)
}

func (r *Runner) number(ctx context.Context, kind Kind, i int, h *specs.Hooks, s *specs.State) error {
	if err := r.one(ctx, &kind.Of(h)[i], state.JSON(s)); err != nil {
		return fmt.Errorf("error running %s hook #%d: %w", kind, i, err) // runc's words
	}
	return nil
}

// Validate says what is wrong with hooks; h may be nil.
func Validate(h *specs.Hooks) error {
	for _, k := range Kinds {
		for i, e := range k.Of(h) {
			switch {
			case !path.IsAbs(e.Path):
				return fmt.Errorf("%s hook #%d: the path %q is not absolute", k, i, e.Path)
			case e.Timeout != nil && *e.Timeout <= 0:
				return fmt.Errorf("%s hook #%d: the timeout %d is not greater than zero", k, i, *e.Timeout)
			case strings.IndexByte(e.Path+strings.Join(e.Args, "")+strings.Join(e.Env, ""), 0) >= 0:
				return fmt.Errorf("%s hook #%d: NUL byte in path, arguments or environment", k, i)
			}
		}
	}
	return nil
}
