// Package executor runs the steps of a build as what they are: containers, made
// by the engine's own sandbox with the isolation, limits and network that
// `berth run` gives. It is BuildKit's executor.Executor.
//
// Nothing is mounted in the host's mount table for a step: its root and its
// mounts are detached trees that only the step's processes see. A step that ends,
// however it does, leaves nothing behind.
package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	bkexecutor "github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"github.com/moby/buildkit/solver/pb"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/container/apparmor"
	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/trace"
)

// Networks is what the executor needs of the engine's networks.
type Networks interface {
	Attach(ctx context.Context, d network.Desired) (*os.File, network.Result, error)
	Detach(ctx context.Context, id string) error
	DNS() (servers, search, options []string)
}

// Options are what an Executor is made of.
type Options struct {
	Root      string // directory for the state of steps; emptied by New
	Sandboxes *sandbox.Runtime
	Networks  Networks
	// CgroupParent is where the groups of steps are made. "": the sandbox's.
	CgroupParent string
	// Capabilities that the kernel knows, for steps with security.insecure.
	Capabilities []string
	// AppArmor is the profile of steps without security.insecure. Nil: the host
	// has none.
	AppArmor *apparmor.Profile
	// Devices that steps may ask for by CDI's names.
	Devices *cdidevices.Manager
	Remap   *Remap          // nil: steps have the host's ids
	Traces  *trace.Recorder // of steps; nil: nobody asks
	Log     *slog.Logger    // nil: discarded
}

// Executor runs steps. Its methods may be used at any time by anybody.
type Executor struct {
	o Options

	shared sharedTrees

	mu      sync.Mutex
	running map[string]*step
}

var _ bkexecutor.Executor = (*Executor)(nil)

// New makes an Executor. What an earlier process left in Root is removed.
func New(o Options) (*Executor, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.RemoveAll(o.Root); err != nil {
		return nil, fmt.Errorf("build executor: %w", err)
	}
	if err := os.MkdirAll(o.Root, 0o700); err != nil {
		return nil, fmt.Errorf("build executor: %w", err)
	}
	return &Executor{o: o, running: map[string]*step{}}, nil
}

// idPrefix begins the names of steps' sandboxes, which so are nobody's container.
const idPrefix = "build-"

// step is one container of a build.
type step struct {
	id    string
	ready chan struct{} // closed when box runs, or never will
	box   *sandbox.Sandbox
	spec  *specs.Spec
	root  *os.File
}

// Run runs a step to its end. The error is a *gatewayapi.ExitError if it ended
// with a status that is not wanted.
func (x *Executor) Run(ctx context.Context, id string, root bkexecutor.Mount, mounts []bkexecutor.Mount, p bkexecutor.ProcessInfo, started chan<- struct{}) (_ resourcestypes.Recorder, err error) {
	if id == "" {
		id = identity.NewID()
	}
	if err := bkexecutor.ValidContainerID(id); err != nil {
		return nil, err
	}
	s := &step{id: idPrefix + id, ready: make(chan struct{})}
	x.mu.Lock()
	x.running[id] = s
	x.mu.Unlock()
	tell := sync.OnceFunc(func() {
		close(s.ready)
		if started != nil {
			close(started)
		}
	})
	ctx, at := x.o.Traces.Begin(ctx, "build step")
	var u undo
	defer func() {
		x.mu.Lock()
		delete(x.running, id)
		x.mu.Unlock()
		tell()
		err = errors.Join(err, u.run(context.WithoutCancel(ctx)))
		at.Fail(err)
		at.Mark("all is given back")
		x.o.Traces.End(at)
	}()
	if err := x.prepare(ctx, s, root, mounts, p, &u); err != nil {
		return nil, err
	}
	at.Mark("sandbox: created")
	stream, err := s.box.Attach(ctx, sandbox.AttachOptions{Stdin: p.Stdin != nil, Stdout: true, Stderr: true})
	if err != nil {
		return nil, err
	}
	u.push(func(context.Context) error { return stream.Close() })
	if err := s.box.Start(ctx); err != nil {
		return nil, startError(s.root, s.spec.Process, err)
	}
	at.Mark("execute")
	if err := fault.Point("build.step.started"); err != nil {
		return nil, err
	}
	tell()
	io := pump(ctx, stream, p, s.box)
	code, err := x.await(ctx, s, io)
	at.Mark("the program runs, its output ends")
	if err != nil {
		return nil, err
	}
	return nil, exitError(ctx, code, p.Meta.ValidExitCodes)
}

// prepare makes everything up to the process that waits for its start. What it
// makes is undone by u.
func (x *Executor) prepare(ctx context.Context, s *step, root bkexecutor.Mount, mounts []bkexecutor.Mount, p bkexecutor.ProcessInfo, u *undo) error {
	meta, stdin := p.Meta, p.Stdin != nil
	if err := x.o.Remap.refuse(meta); err != nil {
		return fmt.Errorf("build step: %w", err)
	}
	dir := filepath.Join(x.o.Root, s.id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("build step: %w", err)
	}
	u.push(func(context.Context) error { return os.RemoveAll(dir) })
	var err error
	if s.root, err = x.openMount(ctx, root, u); err != nil {
		return fmt.Errorf("root file system of a build step: %w", err)
	}
	sources := map[string]*os.File{}
	list, err := x.mounts(ctx, mounts, sources, u)
	if err != nil {
		return err
	}
	clean := bkexecutor.MountStubsCleaner(ctx, descriptorPath(s.root), mounts, meta.RemoveMountStubsRecursive)
	u.push(func(context.Context) error { clean(); return nil })
	if meta.Cwd != "" && meta.Cwd != "/" && !meta.ReadonlyRootFS {
		uid, gid := x.o.Remap.root()
		if err := mount.MkdirAllInRoot(s.root, meta.Cwd, 0o755, uid, gid); err != nil {
			return fmt.Errorf("working directory %s: %w", meta.Cwd, err)
		}
	}
	at := trace.From(ctx)
	at.Mark("root file system and mounts")
	ns, result, err := x.connect(ctx, s, meta, u)
	if err != nil {
		return err
	}
	at.Mark("network")
	etc, err := x.etc(dir, meta, result, sources, u)
	if err != nil {
		return err
	}
	if s.spec, err = x.specify(s, meta, stdin, append(etc, list...), ns); err != nil {
		return err
	}
	at.Mark("files in /etc, specification")
	s.box, err = x.o.Sandboxes.Launch(ctx, &sandbox.Bundle{
		ID: s.id, Spec: s.spec, Rootfs: s.root, NetNS: ns, Sources: sources, StateDir: dir,
		OpenStdin: stdin, StdinOnce: stdin,
	})
	if err != nil {
		return fmt.Errorf("build step: %w", err)
	}
	u.push(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return s.box.Destroy(ctx)
	})
	return nil
}

// connect gives the step its network; no descriptor means the host's.
func (x *Executor) connect(ctx context.Context, s *step, meta bkexecutor.Meta, u *undo) (*os.File, network.Result, error) {
	d := network.Desired{ID: s.id, Name: meta.Hostname, Mode: network.Bridge}
	switch meta.NetMode {
	case pb.NetMode_HOST:
		return nil, network.Result{}, nil
	case pb.NetMode_NONE:
		d.Mode = network.None
	case pb.NetMode_UNSET:
		d.Networks = []network.EndpointSpec{{Name: network.DefaultNetwork}}
	default:
		return nil, network.Result{}, fmt.Errorf("unknown network mode %s", meta.NetMode)
	}
	if meta.Proxy != nil {
		return nil, network.Result{}, errors.New("builds behind a capturing proxy are not supported by this version of Berth yet")
	}
	ns, result, err := x.o.Networks.Attach(ctx, d)
	if err != nil {
		return nil, result, fmt.Errorf("network of a build step: %w", err)
	}
	u.push(func(ctx context.Context) error { return x.o.Networks.Detach(ctx, s.id) })
	u.push(func(context.Context) error { return ns.Close() })
	return ns, result, nil
}

// patience is how long a killed step may take to end.
const patience = 30 * time.Second

// undo is what is to be done at a step's end, last first.
type undo struct{ list []func(context.Context) error }

func (u *undo) push(f func(context.Context) error) { u.list = append(u.list, f) }

func (u *undo) run(ctx context.Context) error {
	var errs []error
	for _, v := range slices.Backward(u.list) {
		errs = append(errs, v(ctx))
	}
	u.list = nil
	return errors.Join(errs...)
}
