package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/trace"
)

// Start runs the container's command. It returns when the program runs, or
// with an error that says why it does not. ErrAlreadyStarted: it runs already.
func (s *Service) Start(ctx context.Context, ref string) error {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	defer e.release()
	switch r := e.record(); {
	case r.State == Paused:
		return conflict("cannot start a paused container, try unpause instead")
	case r.State.live():
		return ErrAlreadyStarted
	case r.State == Removing || r.State == Dead:
		return conflict("container is marked for removal and cannot be started")
	}
	e.stopRestart()
	e.pause = 0
	return s.start(ctx, e, func(r *Record) { r.RestartCount = 0 })
}

// start makes a run of a container, whoever wants it. The caller holds the
// lock. A client that goes away does not leave half a start.
func (s *Service) start(ctx context.Context, e *entry, change func(*Record)) error {
	ctx = context.WithoutCancel(ctx)
	err := s.tryStart(ctx, e, change)
	if err == nil {
		return nil
	}
	return s.failStart(ctx, e, err)
}

func (s *Service) tryStart(ctx context.Context, e *entry, change func(*Record)) (err error) {
	var u undo
	defer func() {
		if err != nil {
			u.run(ctx)
		}
	}()
	s.sandboxes.Expect()
	before, at := e.record(), trace.From(ctx)
	e.copies.drain(s.clock)
	at.Mark("wait for the container")
	root, release, err := s.mountRoot(ctx, e, &u)
	if err != nil {
		return err
	}
	at.Mark("root file system")
	user, err := settleIn(root, before, s.remapOf(before))
	if err != nil {
		return err
	}
	if err := fault.Point("container.start.rootfs"); err != nil {
		return err
	}
	logTo, err := s.openLogDriver(before)
	if err != nil {
		return err
	}
	if logTo != nil {
		u.push(func(context.Context) { s.report(e.id, logTo.Close()) })
	}
	at.Mark("user and log")
	mounts, err := s.hostMounts(ctx, root, before, e.id, &u)
	if err != nil {
		return err
	}
	at.Mark("mounts")
	place, err := s.connect(ctx, e, before, &u)
	if err != nil {
		return err
	}
	at.Mark("network")
	if place.owner == e.id {
		if err := s.writeEtc(before, place.result); err != nil {
			return err
		}
	}
	at.Mark("files in /etc")
	// On disk from here on: what a daemon after this one must look for.
	r, err := s.step(e, Starting, nil, func(r *Record) {
		r.Network, r.Desired = place.result, WantRunning
		s.nameAsOwner(r, place.owner)
		change(r)
	})
	if err != nil {
		return err
	}
	at.Mark("record")
	mounts.specs = append(mounts.specs, s.etcMounts(r, place.owner)...)
	sp, err := s.specify(r, user, mounts, place)
	if err != nil {
		return err
	}
	at.Mark("specification")
	box, err := s.launch(ctx, r, sp, root, mounts, place)
	if err != nil {
		return err
	}
	at.Mark("sandbox: created")
	u.push(func(ctx context.Context) { s.report(e.id, box.Destroy(ctx)) })
	e.endShipping() // of an earlier run
	e.streams.open(ctx, box)
	u.push(func(context.Context) { e.streams.close() })
	at.Mark("attach clients")
	if err := fault.Point("container.start.launched"); err != nil {
		return err
	}
	if err := box.Start(ctx); err != nil {
		return spec.ExplainStart(root, sp.Process, err)
	}
	at.Mark("execute")
	if err := fault.Point("container.start.started"); err != nil {
		return err
	}
	r, err = s.step(e, Running, nil, func(r *Record) {
		r.Pid, r.StartedAt, r.Edit = box.Pid(), box.StartedAt().UTC(), nil
	})
	if err != nil {
		return err
	}
	at.Mark("record of the run")
	u.keep()
	mounts.close()
	s.report(e.id, errors.Join(root.Close(), closeFile(place.ns)))
	e.live = &live{box: box, release: append(mounts.releases, release), user: &user}
	e.settled = make(chan struct{})
	s.ship(e, logTo, e.streams.ended())
	s.announce(r, events.ActionStart)
	s.tellParents(ctx, r)
	s.watchHealth(e)
	s.tasks.do(func(ctx context.Context) { s.watch(ctx, e, box) })
	return nil
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// specify builds the specification of this run. What is joined of others stays
// open with mounts.
func (s *Service) specify(r *Record, user spec.User, mounts *mountSet, place netPlace) (*specs.Spec, error) {
	in := &spec.Input{
		ID: r.ID, Config: r.Config, Host: r.HostConfig, User: user,
		Capabilities: s.caps, Ulimits: s.defaults.Ulimits, NoNewPrivs: s.defaults.NoNewPrivs, Seccomp: s.defaults.Seccomp,
		AppArmor: s.defaultProfile(),
	}
	in.Namespaces.NetGiven = place.ns != nil
	if _, err := os.Stat("/dev/mqueue"); err != nil {
		in.NoMqueue = true
	}
	alone := len(mounts.open)
	if err := s.joinOthers(r, in, mounts); err != nil {
		return nil, err
	}
	if s.remapOf(r) != nil {
		joined := (*os.File)(nil)
		if len(mounts.open) > alone {
			joined = mounts.open[alone]
		}
		user, err := s.userNamespace(r, place, joined)
		if err != nil {
			return nil, err
		}
		mounts.open = append(mounts.open, user)
		in.Namespaces.User = descriptorPath(user)
	}
	in.Mounts = mounts.specs
	var err error
	if in.Devices, err = devices(r.HostConfig); err != nil {
		return nil, err
	}
	if in.Blkio, err = blkio(r.HostConfig); err != nil {
		return nil, err
	}
	in.CgroupsPath = s.cgroupsPath(r)
	linked, err := s.links(r)
	if err != nil {
		return nil, err
	}
	in.LinkEnv = linkEnv(r, linked)
	sp, err := spec.Build(in)
	if err != nil {
		return nil, err
	}
	if err := s.ensureProfile(sp); err != nil {
		return nil, err
	}
	return sp, s.injectDevices(r.HostConfig, sp)
}

// launch has the sandbox made: everything but the execution of the program.
func (s *Service) launch(ctx context.Context, r *Record, sp *specs.Spec, root *os.File, mounts *mountSet, place netPlace) (*sandbox.Sandbox, error) {
	size, files, err := logLimits(&r.HostConfig.LogConfig)
	if err != nil {
		return nil, err
	}
	dir := s.records.dir(r.ID)
	runtime, err := s.runtimeCommand(r.HostConfig.Runtime)
	if err != nil {
		return nil, err
	}
	b := &sandbox.Bundle{
		ID: r.ID, Spec: sp, Rootfs: root, NetNS: place.ns, Sources: mounts.sources, StateDir: dir,
		LogMaxSize: size, LogMaxFiles: files,
		OpenStdin: r.Config.OpenStdin, StdinOnce: r.Config.StdinOnce,
		Reaper: s.wantsInit(r), Durable: !r.autoRemove(),
		Runtime: runtime,
	}
	if r.HostConfig.LogConfig.Type != logNone {
		b.LogDir = filepath.Join(dir, logDir)
	}
	return s.sandboxes.Launch(ctx, b)
}

func (s *Service) wantsInit(r *Record) bool {
	if r.HostConfig.PidMode.IsHost() || r.HostConfig.PidMode.IsContainer() {
		return false
	}
	if r.HostConfig.Init != nil {
		return *r.HostConfig.Init
	}
	return s.defaults.Init
}

// startFailed is the exit code of a container whose start failed before its
// program was looked for.
const startFailed = 128

// failStart settles a start that failed: the record says why, clients that
// wait hear of it, and a container with --rm goes.
func (s *Service) failStart(ctx context.Context, e *entry, cause error) error {
	code := startFailed
	if exec, ok := errors.AsType[*sandbox.StartError](cause); ok {
		code = exec.ExitCode
		cause = invalid("failed to create task for container: failed to start the container's process: %w", exec)
	}
	out := &Outcome{ExitCode: code, Error: cause.Error()}
	if e.record().State != Starting {
		// It failed early; the record has not moved yet.
		if _, err := s.step(e, Starting, nil, func(r *Record) { r.Desired = WantRunning }); err != nil {
			return errors.Join(cause, err)
		}
	}
	r, err := s.step(e, Exited, out, func(r *Record) { r.Network, r.Edit = nil, nil })
	if err != nil {
		return errors.Join(cause, fmt.Errorf("settle the failed start: %w", err))
	}
	e.streams.close()
	e.waits.wake(exitResponse(r), endOfRun...)
	if r.autoRemove() {
		if err := s.remove(ctx, e, true); err != nil {
			s.log.Warn("cannot remove a container whose start failed", "container", e.id, "err", err)
		}
	}
	return cause
}
