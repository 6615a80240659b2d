package container

import (
	"context"
	"errors"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/container/stats"
)

// Measured is what is measured of a container at a moment.
type Measured struct {
	ID, Name, Image string
	State           container.ContainerState
	Health          container.HealthStatus
	Restarts        int       // by the policy, since a user started it
	StartedAt       time.Time // zero: never
	// Usage is what it uses; nil: it does not run.
	Usage *container.StatsResponse
}

// Measure measures all containers. One that ends meanwhile has no usage.
func (s *Service) Measure(ctx context.Context) ([]Measured, error) {
	all := s.index.all()
	out := make([]Measured, 0, len(all))
	for _, e := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e.await()
		r := e.record()
		m := Measured{
			ID: r.ID, Name: r.Name, Image: r.Config.Image, State: r.shown(), Health: e.healthSummary().Status,
			Restarts: r.RestartCount, StartedAt: r.StartedAt,
		}
		if r.State.live() {
			source := &usage{s: s, e: e}
			var sample container.StatsResponse
			err := source.Sample(&sample)
			source.Close()
			switch {
			case errors.Is(err, stats.ErrGone):
				continue
			case err != nil:
				return nil, err
			case !sample.Read.IsZero():
				m.Usage = &sample
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// HealthChecks counts the checks of health that were made since the engine
// started, and those that failed.
func (s *Service) HealthChecks() (made, failed uint64) {
	return s.checksMade.Load(), s.checksFailed.Load()
}
