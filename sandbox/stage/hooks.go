package stage

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/sandbox/hook"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// wanted comes with frameHooks: what the parent runs now, and later.
type wanted struct {
	Hooks specs.Hooks
	State specs.State
}

func (w *wanted) describe(c *codec) {
	describeHooks(c, &w.Hooks)
	describeState(c, &w.State)
}

func validateHooks(c *Config) error {
	if err := hook.Validate(c.Spec.Hooks); err != nil {
		return invalid("%s", err)
	}
	if c.State == nil && NeedsState(c.Spec) {
		return invalid("hooks and seccomp agents need a state to be given to them")
	}
	return nil
}

// NeedsState tells whether Config.State has to be set: there are hooks, or an
// agent that answers seccomp notifications.
func NeedsState(spec *specs.Spec) bool {
	for _, k := range hook.Kinds {
		if len(k.Of(spec.Hooks)) > 0 {
			return true
		}
	}
	return Notifies(spec)
}

// Notifies tells whether the filter has an agent answer calls.
func Notifies(spec *specs.Spec) bool {
	return spec.Linux != nil && spec.Linux.Seccomp != nil &&
		slices.ContainsFunc(spec.Linux.Seccomp.Syscalls, func(s specs.LinuxSyscall) bool { return s.Action == specs.ActNotify })
}

// createHooks has the parent run prestart and createRuntime hooks, and runs the
// createContainer hooks: programs of the host in the container's namespaces,
// with its mounts made and the host's root directory still in place.
func (s *setup) createHooks() error {
	if r := runtimeHooks(s.Spec.Hooks); r != nil {
		if err := s.ask(frameHooks, (&wanted{*r, *s.State}).describe, nil); err != nil {
			return err
		}
	}
	if len(hook.CreateContainer.Of(s.Spec.Hooks)) == 0 {
		return nil
	}
	// As with runc, they find themselves in the container's root directory.
	if err := s.root.Chdir(); err != nil {
		return err
	}
	if err := s.runHooks(hook.CreateContainer, specs.StateCreating); err != nil {
		return err
	}
	return syscall.Chdir("/")
}

// startHooks runs the startContainer hooks, which are programs of the
// container: under all of its restrictions.
func (s *setup) startHooks() error {
	if len(hook.StartContainer.Of(s.Spec.Hooks)) == 0 {
		return nil
	}
	if err := s.runHooks(hook.StartContainer, specs.StateCreated); err != nil {
		return err
	}
	for fd := fdControl; fd < fdControl+s.Preserve; fd++ { // hooks did not get them
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
	}
	return nil
}

// runHooks runs hooks as children of this thread.
func (s *setup) runHooks(kind hook.Kind, status specs.ContainerState) error {
	if len(kind.Of(s.Spec.Hooks)) == 0 {
		return nil
	}
	state := *s.State
	state.Status, state.Pid = status, os.Getpid()
	return new(hook.Runner).Run(context.Background(), kind, s.Spec.Hooks, &state)
}

// rootPoint opens what the root file system is put over. Hooks of the create
// phase look for it where the bundle has it; without any, or where there is no
// such directory, it does not matter.
func (s *setup) rootPoint() (*os.File, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY
	if s.HostMounts {
		return os.OpenFile(s.Spec.Root.Path, flags, 0)
	}
	h := s.Spec.Hooks
	if h != nil && s.State != nil && s.Spec.Root != nil && s.Spec.Root.Path != "" {
		path := s.Spec.Root.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.State.Bundle, path)
		}
		if f, err := os.OpenFile(path, flags, 0); err == nil {
			return f, nil
		}
	}
	return os.OpenFile("/", flags, 0)
}

// createHooks is the parent's part.
func (p *Process) createHooks(body []byte) error {
	var w wanted
	if err := decode(body, w.describe); err != nil {
		return err
	}
	p.Hooks, p.state = &w.Hooks, w.State
	for _, kind := range []hook.Kind{hook.Prestart, hook.CreateRuntime} {
		if err := p.RunHooks(kind); err != nil {
			return err
		}
	}
	return p.goOn()
}

// RunHooks runs those of Hooks that are of a kind: Poststart when Start has
// returned, Poststop when the process was reaped. An error of poststart hooks
// means that the container has to be stopped, one of poststop hooks is a
// warning.
func (p *Process) RunHooks(kind hook.Kind) error {
	if len(kind.Of(p.Hooks)) == 0 {
		return nil
	}
	state, runner := p.state, hook.Runner{Exe: p.exe}
	state.Pid = p.Pid
	switch kind {
	case hook.Poststart:
		state.Status = specs.StateRunning
	case hook.Poststop:
		state.Status, state.Pid = specs.StateStopped, 0
		return runner.RunEach(context.Background(), kind, p.Hooks, &state)
	default:
		state.Status = specs.StateCreating
	}
	return runner.Run(context.Background(), kind, p.Hooks, &state)
}
