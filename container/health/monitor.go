package health

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
)

// keep is how many answers are remembered.
const keep = 5

// MaxOutput is how much of an answer's text is kept, in bytes.
const MaxOutput = 4096

// A Probe asks once. Its context ends with the check's timeout.
type Probe func(ctx context.Context) (code int, output string, err error)

// A Monitor watches one run of a container. Its methods may be called by
// anybody at any time.
type Monitor struct {
	check   Check
	started time.Time // of the run

	mu      sync.Mutex
	status  container.HealthStatus
	streak  int
	answers []*container.HealthcheckResult
}

// NewMonitor begins with the status starting.
func NewMonitor(c Check, started time.Time) *Monitor {
	return &Monitor{check: c, started: started, status: container.Starting}
}

// State is what inspect shows.
func (m *Monitor) State() *container.Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &container.Health{Status: m.status, FailingStreak: m.streak, Log: append([]*container.HealthcheckResult{}, m.answers...)}
}

// Status is the current judgement.
func (m *Monitor) Status() container.HealthStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// Stop makes the status of a container that has ended: unhealthy, as Docker
// has it.
func (m *Monitor) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = container.Unhealthy
}

// Run asks until ctx ends. It tells changed each new status.
func (m *Monitor) Run(ctx context.Context, probe Probe, changed func(container.HealthStatus)) {
	timer := time.NewTimer(m.interval())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		answer := m.ask(ctx, probe)
		if ctx.Err() != nil {
			return // the container has ended, or the daemon does: that is no answer
		}
		if status, is := m.judge(answer); is {
			changed(status)
		}
		timer.Reset(m.interval())
	}
}

func (m *Monitor) interval() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.status == container.Starting && time.Since(m.started) < m.check.StartPeriod {
		return m.check.StartInterval
	}
	return m.check.Interval
}

// failed is the code of a check that could not be made.
const failed = -1

func (m *Monitor) ask(ctx context.Context, probe Probe) *container.HealthcheckResult {
	limited, cancel := context.WithTimeout(ctx, m.check.Timeout)
	defer cancel()
	a := &container.HealthcheckResult{Start: time.Now()}
	code, output, err := probe(limited)
	a.End = time.Now()
	switch {
	case limited.Err() != nil:
		code = failed
		output = fmt.Sprintf("Health check exceeded timeout (%v)", m.check.Timeout) + said(output)
	case err != nil:
		code, output = failed, err.Error()
	}
	a.ExitCode, a.Output = code, output
	return a
}

func said(output string) string {
	if output == "" {
		return ""
	}
	return ": " + output
}

// judge counts an answer; is tells that it changed the status.
func (m *Monitor) judge(a *container.HealthcheckResult) (status container.HealthStatus, is bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.status
	m.answers = append(m.answers, a)
	m.answers = m.answers[max(0, len(m.answers)-keep):]
	switch {
	case a.ExitCode == 0:
		m.streak, m.status = 0, container.Healthy
	case m.status == container.Starting && a.Start.Sub(m.started) < m.check.StartPeriod:
	default:
		if m.streak++; m.streak >= m.check.Retries {
			m.status = container.Unhealthy
		}
	}
	return m.status, m.status != before
}
