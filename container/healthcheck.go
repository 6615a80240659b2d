package container

import (
	"context"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/container/health"
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
	p := &prober{s: s, e: e, box: box, argv: argv}
	s.tasks.do(func(all context.Context) {
		defer context.AfterFunc(all, cancel)()
		defer p.close()
		c.monitor.Run(ctx, func(ctx context.Context) (int, string, error) {
			code, output, err := p.probe(ctx)
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
