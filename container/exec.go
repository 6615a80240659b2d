package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/container/exec"
	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/trace"
)

// resizeWait is how long a resize waits for the exec to be started: clients
// send it right after the start.
const resizeWait = 10 * time.Second

// execTarget is a container that runs, as an exec finds it.
type execTarget struct {
	*entry
	record *Record
	box    *sandbox.Sandbox
	user   *spec.User // of process 1; nil: to be looked up
}

// execTarget finds a container that an exec may be made in. The errors are
// Docker's.
func (s *Service) execTarget(ctx context.Context, ref string) (*execTarget, error) {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer e.release()
	switch r := e.record(); r.State {
	case Running, Stopping:
		if e.live != nil {
			return &execTarget{entry: e, record: r, box: e.live.box, user: e.live.user}, nil
		}
	case Paused:
		return nil, conflict("container %s is paused, unpause the container before exec", e.id)
	case Restarting:
		return nil, conflict("container %s is restarting, wait until the container is running", e.id)
	case Created, Starting, Exited, Removing, Dead:
	}
	return nil, conflict("container %s is not running", e.id)
}

// ExecCreate notes what is to be run in a container that runs, and returns the
// exec's ID.
func (s *Service) ExecCreate(ctx context.Context, ref string, x *container.ExecCreateRequest) (string, error) {
	if len(x.Cmd) == 0 {
		return "", invalid("No exec command specified")
	}
	t, err := s.execTarget(ctx, ref)
	if err != nil {
		return "", err
	}
	if x.DetachKeys == "" {
		request := *x
		request.DetachKeys = s.defaults.DetachKeys
		x = &request
	}
	keys, err := parseKeys(x.DetachKeys)
	if err != nil {
		return "", err
	}
	i := exec.New(newID(), t.id, t.record.Run, x, keys)
	if err := s.execs.Add(i); err != nil {
		return "", err
	}
	s.announceExec(t.record, events.ActionExecCreate, x, i.ID)
	return i.ID, nil
}

// ExecInspect returns all that is known of an exec.
func (s *Service) ExecInspect(_ context.Context, id string) (container.ExecInspectResponse, error) {
	i, err := s.execOf(id)
	if err != nil {
		return container.ExecInspectResponse{}, err
	}
	return i.Inspect(), nil
}

// execOf finds an exec instance, also one of a container that is not adopted yet.
func (s *Service) execOf(id string) (*exec.Instance, error) {
	i, err := s.execs.Get(id)
	if errdefs.IsNotFound(err) {
		s.awaitAll()
		i, err = s.execs.Get(id)
	}
	return i, err
}

// ExecResize sets the size of an exec's terminal. It waits a while for one that
// is about to start.
func (s *Service) ExecResize(ctx context.Context, id string, height, width uint) error {
	if height > math.MaxUint16 || width > math.MaxUint16 {
		return invalid("invalid resize height or width: out of range")
	}
	i, err := s.execOf(id)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeoutCause(ctx, resizeWait, errors.New("timeout waiting for exec session ready"))
	defer cancel()
	p, err := i.AwaitStart(wait)
	if err != nil {
		return err
	}
	if p == nil {
		return conflict("exec %s is not running", id)
	}
	if !i.Request.Tty {
		return nil // nothing to do, and no error, as under Docker
	}
	return p.Resize(ctx, uint16(height), uint16(width))
}

// runExec makes the process. A client that goes away does not leave half of
// one.
func (s *Service) runExec(ctx context.Context, t *execTarget, i *exec.Instance, o ExecStartOptions) (*sandbox.Process, error) {
	ctx = context.WithoutCancel(ctx)
	x := *i.Request
	if o.ConsoleSize != nil {
		x.ConsoleSize = o.ConsoleSize
	}
	sp, err := s.specifyExec(t, &x)
	if errdefs.IsNotFound(err) {
		return nil, conflict("container %s is not running", t.id) // it has ended meanwhile
	}
	if err != nil {
		return nil, err
	}
	trace.From(ctx).Mark("specification")
	note, err := json.Marshal(noteOf(i))
	if err != nil {
		return nil, err
	}
	p, err := t.box.Exec(ctx, &sandbox.ExecSpec{
		ID: i.ID, Process: sp.Process, Linux: sp.Linux, Note: string(note),
		Stdin: x.AttachStdin && !o.Detach, Stdout: x.AttachStdout && !o.Detach, Stderr: x.AttachStderr && !x.Tty && !o.Detach,
	})
	if err != nil {
		return nil, execError(t, err)
	}
	for _, w := range p.Warnings {
		s.log.Warn(w, "container", t.id, "exec", i.ID)
	}
	i.Started(p, p.Pid)
	s.watchExecLater(t.entry, i, p)
	return p, nil
}

// specifyExec builds the process. The user is looked up in the files that the
// container has now.
func (s *Service) specifyExec(t *execTarget, x *container.ExecCreateRequest) (sp *specs.Spec, err error) {
	r := t.record
	own := t.user
	user := own
	if x.User != "" || own == nil {
		root, done, err := openRoot(t.box)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, done()) }()
		who := x.User
		if who == "" {
			who = r.Config.User
		}
		found, err := spec.ResolveUser(root, who, r.HostConfig.GroupAdd)
		if err != nil {
			return nil, err
		}
		user = &found
	}
	in := &spec.Input{
		ID: r.ID, Config: r.Config, Host: r.HostConfig, User: *user,
		Capabilities: s.caps, Ulimits: s.defaults.Ulimits, NoNewPrivs: s.defaults.NoNewPrivs, LinkEnv: linkEnv(r, s.linksNow(r)),
		Seccomp: s.defaults.Seccomp, AppArmor: s.defaultProfile(),
	}
	sp, err = spec.Exec(in, x, *user)
	if err == nil {
		err = s.ensureProfile(sp)
	}
	return sp, err
}

// openRoot opens the root directory of a container as its processes see it.
func openRoot(box *sandbox.Sandbox) (*os.File, func() error, error) {
	ns, err := box.Namespace("mnt")
	if err != nil {
		return nil, nil, err
	}
	view, err := mount.OpenView(ns)
	if err != nil {
		return nil, nil, fmt.Errorf("root directory: %w", err)
	}
	return view.Root, view.Close, nil
}
