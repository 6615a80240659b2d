package stage

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/state"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// agentWithin is how long a seccomp agent may take to accept a connection and
// what comes over it.
const agentWithin = 10 * time.Second

// agent comes with frameAgent and the listener of a filter that asks: where to
// bring it.
type agent struct {
	Path, Metadata string
	State          specs.State
}

func (a *agent) describe(c *codec) {
	c.str(&a.Path)
	c.str(&a.Metadata)
	describeState(c, &a.State)
}

// notified loads a filter that has an agent answer calls, and passes its
// listener on to the parent. Until that is done, nothing may happen here but
// the two system calls: others might have to wait for the agent already. The
// kernel has made the listener close-on-exec.
func (s *setup) notified(flags uintptr) error {
	profile := s.Spec.Linux.Seccomp
	message := frame(frameAgent, (&agent{profile.ListenerPath, profile.ListenerMetadata, *s.State}).describe)
	return loadNotifier(s.Seccomp, flags, s.control, message)
}

// bring takes a listener to its agent: the state of the process as JSON, the
// listener with its first byte, one connection for each (config-linux.md,
// "Seccomp").
func (a *agent) bring(listener *os.File, pid int) error {
	conn, err := task.Dial(a.Path, 0)
	if err != nil {
		return fmt.Errorf("failed to connect with seccomp agent: %w", err)
	}
	defer conn.Close()
	limit := unix.NsecToTimeval(agentWithin.Nanoseconds())
	if err := unix.SetsockoptTimeval(int(conn.Fd()), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	p := specs.ContainerProcessState{
		Version: a.State.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: a.Metadata, State: a.State,
	}
	if err := task.SendFiles(conn, state.ProcessJSON(&p), []*os.File{listener}); err != nil {
		return fmt.Errorf("seccomp agent at %s: %w", a.Path, err)
	}
	return nil
}

// passListener is the parent's part.
func (p *Process) passListener(body []byte, listener *os.File) error {
	if listener == nil {
		return errors.New("container init: a seccomp listener got lost")
	}
	defer listener.Close()
	var a agent
	if err := decode(body, a.describe); err != nil {
		return err
	}
	a.State.Status, a.State.Pid = specs.StateCreating, p.Pid
	if p.container != 0 {
		a.State.Status, a.State.Pid = specs.StateRunning, p.container
	}
	return a.bring(listener, p.Pid)
}
