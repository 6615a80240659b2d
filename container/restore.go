package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/sandbox"
)

// Codes of runs whose end nobody saw: killed with the monitor, and never
// really begun.
const lostExit = 128 + int(syscall.SIGKILL)

// restorers is how many containers are restored at a time.
const restorers = 16

// Restore brings records and reality together after a start of the daemon,
// however the last one ended: what runs is adopted, what ended is settled,
// --rm and restart policies are honoured, and what belongs to nobody is swept
// away. It must return before requests are served. Of what runs as its record
// says, only that is seen by then: see adoptLater.
func (s *Service) Restore(ctx context.Context) error {
	var mu sync.Mutex
	var live []string
	var boot, later []*entry
	var work errgroup.Group
	// Most of it is waiting for the answers of monitors.
	work.SetLimit(restorers)
	for _, e := range s.index.all() {
		work.Go(func() error {
			if err := e.acquire(ctx); err != nil {
				return err
			}
			if s.adoptLater(ctx, e) {
				mu.Lock()
				defer mu.Unlock()
				live, later = append(live, e.id), append(later, e)
				return ctx.Err()
			}
			defer e.release()
			err := s.restore(ctx, e)
			if err != nil && ctx.Err() == nil {
				// One broken container must not keep the others from running.
				s.log.Error("cannot restore a container", "container", e.id, "err", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if e.live != nil {
				live = append(live, e.id)
			}
			if err == nil && toBoot(e) {
				boot = append(boot, e)
			}
			return ctx.Err()
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	s.volumes.Settle()
	s.sweepSandboxes(ctx, live)
	if err := s.networks.Prune(ctx, live); err != nil {
		return fmt.Errorf("restore containers: %w", err)
	}
	if err := s.images.Sweep(ctx); err != nil {
		s.log.Warn("cannot sweep the image store", "err", err)
	}
	s.restored.Store(true)
	s.tasks.do(func(ctx context.Context) { adoptRest(ctx, later) })
	s.boot(boot)
	return nil
}

// restore settles one container. The caller holds the lock.
func (s *Service) restore(ctx context.Context, e *entry) error {
	s.holdAgain(ctx, e)
	switch e.record().State {
	case Running, Paused, Stopping:
		if err := s.adopt(ctx, e); err != nil {
			return err
		}
	case Starting:
		if err := s.finishStart(ctx, e); err != nil {
			return err
		}
	case Removing:
		return s.delete(ctx, e, e.record().Desired == WantPurged)
	case Created, Exited, Restarting, Dead:
	}
	switch r := e.record(); {
	case e.gone:
		return nil
	case e.live != nil && r.Edit != nil && r.Edit.Phase == EditLive:
		return s.takeBack(ctx, e)
	case e.live != nil && r.recreates():
		s.resumeRecreate(e)
		return nil
	case e.live != nil:
		return nil
	}
	s.shipRest(e)
	switch r := e.record(); {
	case r.State == Exited && r.unfinished():
	case r.State == Exited && r.autoRemove():
		return s.remove(ctx, e, true)
	case (r.State == Exited || r.State == Restarting) && restartAtBoot(r, s.wantsRestart(r)):
		return s.restartAtBoot(e)
	case r.State == Restarting:
		_, err := s.step(e, Exited, nil, nil)
		return err
	}
	return nil
}

// restartAtBoot: "always" means after a restart of the daemon even what was
// stopped by hand before.
func restartAtBoot(r *Record, wanted bool) bool {
	return wanted || r.Run > 0 && r.HostConfig.RestartPolicy.IsAlways()
}

func (s *Service) restartAtBoot(e *entry) error {
	if e.record().State == Exited {
		if _, err := s.step(e, Restarting, nil, func(r *Record) { r.RestartCount, r.Desired = 0, WantRunning }); err != nil {
			return err
		}
	}
	return nil
}

// holdAgain tells the image store and the volumes of the container's use.
func (s *Service) holdAgain(ctx context.Context, e *entry) {
	r := e.record()
	if img, err := s.imageOf(ctx, e); err == nil {
		e.held = append(e.held, s.images.Hold(img, s.holder(e)))
	} else {
		s.log.Warn("the image of a container is gone", "container", r.ID, "image", r.Config.Image, "err", err)
	}
	s.holdImages(e, r.Mounts)
	if err := s.holdVolumes(e); err != nil {
		s.log.Warn("cannot bring a record up to date", "container", r.ID, "err", err)
	}
}

// adopt takes a container that should run, or settles its end.
func (s *Service) adopt(ctx context.Context, e *entry) error {
	box, err := s.sandboxes.Adopt(ctx, e.id, s.records.dir(e.id))
	if errdefs.IsNotFound(err) {
		return s.settleLost(ctx, e)
	}
	if err != nil {
		return err
	}
	s.useVolumes(ctx, e.record())
	return s.takeOver(ctx, e, box, nil)
}

// takeOver continues a run with a sandbox that was adopted. Its volumes are in
// use; held is what holdRun returned, nil if it was not called.
func (s *Service) takeOver(ctx context.Context, e *entry, box *sandbox.Sandbox, held []func()) error {
	e.live = &live{box: box, release: held}
	e.settled = make(chan struct{})
	e.streams.open(ctx, box)
	if !box.Running() {
		exit, err := box.Wait(ctx)
		if err != nil {
			return err
		}
		return s.settleExit(ctx, e, box, exit)
	}
	s.ship(e, nil, e.streams.ended())
	if err := s.settlePause(ctx, e, box); err != nil {
		return err
	}
	if !e.record().OOMKilled && box.OutOfMemory() {
		s.noteOutOfMemory(e, sandbox.OOMKill{})
	}
	r := e.record()
	if held == nil {
		held, err := s.holdRun(ctx, e, box.Pid())
		e.live.release = held
		if err != nil {
			return err
		}
	}
	s.adoptExecs(ctx, e, box)
	if r.Pid != box.Pid() {
		next := *r
		next.Pid = box.Pid()
		if err := s.save(e, &next); err != nil {
			return err
		}
	}
	s.watchHealth(e)
	if e.record().State == Paused {
		e.pauseHealth()
	}
	s.tasks.do(func(ctx context.Context) { s.watch(ctx, e, box) })
	return nil
}

// holdRun tells the image store and the network of a run: what its process 1
// (pid) uses. The releases are never nil, also with an error.
func (s *Service) holdRun(ctx context.Context, e *entry, pid int) (releases []func(), err error) {
	releases = []func(){}
	if img, err := s.imageOf(ctx, e); err == nil {
		layers, err := s.images.Rootfs(ctx, img)
		if err != nil {
			return releases, err
		}
		releases = append(releases, layers.Release)
	}
	more, err := s.useImages(ctx, e.record().Mounts)
	releases = append(releases, more...)
	if r := e.record(); err == nil && r.Network != nil {
		if err := s.adoptNetwork(ctx, e.id, pid, *r.Network); err != nil {
			s.log.Error("cannot adopt the network of a container", "container", e.id, "err", err)
		}
	}
	return releases, err
}

func (s *Service) adoptNetwork(ctx context.Context, id string, pid int, r network.Result) error {
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return err
	}
	return errors.Join(s.networks.Adopt(ctx, id, ns, r), ns.Close())
}

// settleLost settles a run whose monitor is gone.
func (s *Service) settleLost(ctx context.Context, e *entry) error {
	exit, err := sandbox.ReadExit(s.records.dir(e.id))
	if errdefs.IsNotFound(err) {
		exit = &sandbox.Exit{Code: lostExit, FinishedAt: s.clock.now(), Reason: "the container ended while the engine was not running (the host was restarted, or its monitor was killed)"}
	} else if err != nil {
		return err
	}
	e.settled = make(chan struct{})
	return s.settleExit(ctx, e, nil, *exit)
}

// finishStart decides about a start in the middle of which the daemon died. If
// the program runs, the start has happened; otherwise it has failed.
func (s *Service) finishStart(ctx context.Context, e *entry) error {
	box, err := s.sandboxes.Adopt(ctx, e.id, s.records.dir(e.id))
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if box != nil && !box.StartedAt().IsZero() {
		_, err := s.step(e, Running, nil, func(r *Record) {
			r.Pid, r.StartedAt, r.Edit = box.Pid(), box.StartedAt().UTC(), nil
		})
		if err != nil {
			return err
		}
		s.useVolumes(ctx, e.record())
		return s.takeOver(ctx, e, box, nil)
	}
	if box != nil {
		s.report(e.id, box.Destroy(ctx))
	}
	out := &Outcome{ExitCode: lostExit, Error: "the engine ended while it started the container"}
	if _, err = s.step(e, Exited, out, func(r *Record) {
		if r.Edit == nil { // else the next start asks for the same addresses
			r.Network = nil
		}
	}); err != nil {
		return err
	}
	s.letGo(ctx, e, e.record(), nil)
	return nil
}

// sweepSandboxes ends sandboxes that no container knows of.
func (s *Service) sweepSandboxes(ctx context.Context, live []string) {
	ids, err := s.sandboxes.IDs()
	if err != nil {
		s.log.Warn("cannot list sandboxes", "err", err)
		return
	}
	known := map[string]bool{}
	for _, id := range live {
		known[id] = true
	}
	for _, id := range ids {
		if known[id] {
			continue
		}
		s.log.Info("ending a sandbox that no container knows of", "container", id)
		if err := s.sweepSandbox(ctx, id); err != nil {
			s.log.Warn("cannot end a sandbox", "container", id, "err", err)
		}
	}
}

func (s *Service) sweepSandbox(ctx context.Context, id string) (err error) {
	// Its exit record has to go somewhere.
	dir := filepath.Join(s.records.root, gonePrefix+id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	box, err := s.sandboxes.Adopt(ctx, id, dir)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return box.Destroy(ctx)
}

// Shutdown sends away clients that wait for containers to start. Running
// containers live on, and are found by the next daemon.
func (s *Service) Shutdown(context.Context) error {
	for _, e := range s.index.all() {
		e.streams.dismiss()
	}
	return nil
}
