package container

import (
	"context"
	"time"

	"github.com/berth-engine/berth/sandbox"
)

// The pauses before a restart by policy: they double, and start again from the
// first after a run that was long enough.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = time.Minute
	goodRun    = 10 * time.Second
)

// nextPause follows pause, after a run that took ran.
func nextPause(pause, ran time.Duration) time.Duration {
	if ran >= goodRun || pause == 0 {
		return firstPause
	}
	return min(2*pause, maxPause)
}

// wantsRestart applies the restart policy to a container that has exited.
func (s *Service) wantsRestart(r *Record) bool {
	if r.Desired != WantRunning {
		return false
	}
	p := r.HostConfig.RestartPolicy
	switch {
	case p.IsAlways(), p.IsUnlessStopped():
		return true
	case p.IsOnFailure():
		return r.ExitCode != 0 && (p.MaximumRetryCount == 0 || r.RestartCount < p.MaximumRetryCount)
	}
	return false
}

// restartLater starts the container after its pause, unless somebody moves it
// before. The caller holds the lock; the state is Restarting.
func (s *Service) restartLater(e *entry, ran time.Duration) {
	r := e.record()
	e.pause = nextPause(e.pause, ran)
	timer := s.clock.after(e.pause)
	stop := make(chan struct{})
	e.cancel = func() { close(stop) }
	run := r.Run
	s.tasks.do(func(ctx context.Context) {
		select {
		case <-timer:
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
		s.restartNow(ctx, e, run)
	})
}

func (s *Service) restartNow(ctx context.Context, e *entry, run uint64) {
	if err := e.acquire(ctx); err != nil {
		return
	}
	defer e.release()
	if r := e.record(); e.gone || r.State != Restarting || r.Run != run {
		return
	}
	e.cancel = nil
	if err := s.start(ctx, e, func(*Record) {}); err != nil {
		s.log.Error("cannot restart a container", "container", e.id, "err", err)
		s.tryAgain(e)
	}
}

// tryAgain waits for the next restart after one that failed to start: what is
// missing (a port, a directory) may come back.
func (s *Service) tryAgain(e *entry) {
	if e.gone || e.record().State != Exited || !s.wantsRestart(e.record()) {
		return
	}
	if _, err := s.step(e, Restarting, nil, func(r *Record) { r.RestartCount++ }); err != nil {
		s.log.Error("cannot restart a container", "container", e.id, "err", err)
		return
	}
	s.restartLater(e, 0)
}

// endRestarts makes the container not come back by its policy, whatever it
// does now. It returns what still runs, and gives the lock back.
func (s *Service) endRestarts(e *entry) (box *sandbox.Sandbox, settled <-chan struct{}, err error) {
	defer e.release()
	r := e.record()
	if r.State == Restarting {
		e.stopRestart()
		_, err := s.step(e, Exited, nil, func(r *Record) { r.Desired = WantStopped })
		return nil, nil, err
	}
	if e.live == nil {
		return nil, nil, nil
	}
	if r.Desired != WantStopped {
		next := *r
		next.Desired = WantStopped
		if err := s.save(e, &next); err != nil {
			return nil, nil, err
		}
	}
	return e.live.box, e.settled, nil
}
