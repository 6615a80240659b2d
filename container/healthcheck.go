package container

import (
	"context"
	"fmt"
	"syscall"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/container/exec"
	"github.com/berth-engine/berth/container/health"
	"github.com/berth-engine/berth/sandbox"
)

// checkup is the watching of one run's health.
type checkup struct {
	monitor *health.Monitor
	cancel  context.CancelFunc // nil: it pauses
}

// watchHealth begins to check a run. The caller holds the lock.
func (s *Service) watchHealth(e *entry) {
	r := e.record()
	if !health.Wanted(r.Config.Healthcheck) {
		e.checkup.Store(nil)
		s.watchTurn(e)
		return
	}
	c := &checkup{monitor: health.NewMonitor(health.NewCheck(r.Config.Healthcheck), r.StartedAt)}
	e.checkup.Store(c)
	s.resumeHealth(e)
}

// resumeHealth goes on checking after a pause. The caller holds the lock.
func (s *Service) resumeHealth(e *entry) {
	c := e.checkup.Load()
	if c == nil || c.cancel != nil || e.live == nil {
		return
	}
	r, box := e.record(), e.live.box
	argv, err := health.Command(r.Config.Healthcheck, r.Config.Shell)
	if err != nil { // of an image: a request is refused
		s.log.Warn("cannot check the health of a container", "container", e.id, "err", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	s.tasks.do(func(all context.Context) {
		defer context.AfterFunc(all, cancel)()
		c.monitor.Run(ctx, func(ctx context.Context) (int, string, error) {
			code, output, err := s.probe(ctx, e, box, argv)
			s.checksMade.Add(1)
			if code != 0 || err != nil {
				s.checksFailed.Add(1)
			}
			return code, output, err
		}, func(status container.HealthStatus) {
			s.announce(e.record(), events.Action("health_status: "+string(status)))
			s.healthTurn(ctx, e, box, status)
		})
	})
}

// pauseHealth stops checking for a while. The caller holds the lock.
func (e *entry) pauseHealth() {
	if c := e.checkup.Load(); c != nil && c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
}

// endHealth ends the checking of a run. The caller holds the lock.
func (e *entry) endHealth() {
	e.pauseHealth()
	if c := e.checkup.Load(); c != nil {
		c.monitor.Stop()
	}
}

// health is the current judgement with the last answers; nil without checks.
func (e *entry) health() *container.Health {
	c := e.checkup.Load()
	if c == nil {
		return nil
	}
	return c.monitor.State()
}

// healthSummary is what a list shows.
func (e *entry) healthSummary() *container.HealthSummary {
	if h := e.health(); h != nil {
		return &container.HealthSummary{Status: h.Status, FailingStreak: h.FailingStreak}
	}
	return &container.HealthSummary{Status: container.NoHealthcheck}
}

// probe runs the command of a check in the container and returns its code and
// the beginning of what it said. At the end of ctx it is killed.
func (s *Service) probe(ctx context.Context, e *entry, box *sandbox.Sandbox, argv []string) (int, string, error) {
	t, err := s.execTarget(ctx, e.id)
	if err != nil {
		return 0, "", err
	}
	if t.box != box {
		return 0, "", fmt.Errorf("container %s was started anew", e.id)
	}
	i := exec.New(newID(), t.id, t.record.Run, &container.ExecCreateRequest{Cmd: argv, AttachStdout: true, AttachStderr: true}, nil)
	if err := i.Claim(); err != nil {
		return 0, "", err
	}
	if err := s.execs.Add(i); err != nil {
		return 0, "", err
	}
	s.announceExec(t.record, events.ActionExecCreate, i.Request, i.ID)
	s.announceExec(t.record, events.ActionExecStart, i.Request, i.ID)
	p, err := s.runExec(ctx, t, i, ExecStartOptions{})
	if err != nil {
		s.execs.End(i, execCode(err), s.clock.now())
		return 0, "", err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = p.Signal(context.WithoutCancel(ctx), syscall.SIGKILL) // it may just have ended
		_ = p.Stream().Close()                                    // its children may hold it open
	})
	output := head(p.Stream(), health.MaxOutput)
	select {
	case <-i.Done():
	case <-ctx.Done():
		return 0, output, ctx.Err()
	}
	if !stop() {
		return 0, output, ctx.Err()
	}
	code := 0
	if c := i.Inspect().ExitCode; c != nil {
		code = *c
	}
	return code, output, p.Stream().Close()
}

// head reads a stream to its end, whatever that is, and keeps the first bytes.
func head(stream *sandbox.Stream, limit int) string {
	var text []byte
	for {
		_, data, err := stream.Next()
		if err != nil {
			return string(text)
		}
		text = append(text, data[:min(len(data), limit-len(text))]...)
	}
}
