package container

import (
	"context"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/container/health"
	"github.com/berth-engine/berth/kernel/socket"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/sandbox"
)

// How long a container that ends may take to serve what it has begun, if others
// of its service take what comes.
const leaveIn = 2 * time.Second

// Bounds of the wait between two looks at what changes by itself.
const (
	lookFirst = 5 * time.Millisecond
	lookLast  = 500 * time.Millisecond
)

// startIn is after how long a container's start is over, although nobody has seen
// it listen: not all that takes what comes is seen to, such as a program with
// sockets that read packets, or one that leads its ports on by a firewall of its
// own.
const startIn = 10 * time.Second

// serviceOf is the service that the container shares published ports with, by
// the labels of the request alone.
func serviceOf(r *Record) network.Service {
	v := network.Service{Project: r.RequestLabels[labelProject], Name: r.RequestLabels[labelService]}
	if v.Project == "" || v.Name == "" {
		return network.Service{}
	}
	return v
}

// watchTurn lets a container that shares ports take its turn when it can serve:
// with checks, when it is healthy, of which healthTurn hears; without, when it
// listens. The caller holds the lock.
func (s *Service) watchTurn(e *entry) {
	r := e.record()
	if health.Wanted(r.Config.Healthcheck) || !shares(r) || e.live == nil || e.live.watched || r.State == Paused {
		return
	}
	e.live.watched = true
	box, settled, ports := e.live.box, e.settled, slices.Collect(r.Network.Ports.All())
	look := func() (int, error) {
		if e.record().State == Paused {
			return 0, nil
		}
		return listening(box.Pid(), ports)
	}
	s.tasks.do(func(ctx context.Context) {
		for s.awaitListening(ctx, settled, len(ports), look, func() { s.endStart(ctx, e, box) }) && !s.seen(ctx, e, box) {
		}
	})
}

// seen has a run that listens take its turn, and tells whether no more is to be
// done for that: one that was paused meanwhile must be looked at again. The caller
// does not hold the lock.
func (s *Service) seen(ctx context.Context, e *entry, box *sandbox.Sandbox) bool {
	paused := false
	e.during(ctx, box, func() {
		if paused = e.record().State == Paused; !paused {
			e.live.watched = false
			s.admit(ctx, e, true)
		}
	})
	return !paused
}

// shares tells whether the container may have ports together with others.
func shares(r *Record) bool {
	return r.Network != nil && r.Network.Service != (network.Service{}) &&
		slices.ContainsFunc(r.Network.Ports, func(p network.Row) bool { return !p.Routed })
}

// healthTurn hears of another judgement about a run, which has it take its turn or
// not. The caller does not hold the lock, under which the run may have been paused
// meanwhile.
func (s *Service) healthTurn(ctx context.Context, e *entry, box *sandbox.Sandbox, status container.HealthStatus) {
	if !shares(e.record()) {
		return
	}
	e.during(ctx, box, func() {
		if ready := status == container.Healthy; !ready || e.record().State != Paused {
			s.admit(ctx, e, ready)
		}
	})
}

// endStart says that a run's start is over, although it was not seen to listen.
// The caller does not hold the lock.
func (s *Service) endStart(ctx context.Context, e *entry, box *sandbox.Sandbox) {
	e.during(ctx, box, func() { s.report(e.id, s.networks.Started(ctx, e.id)) })
}

// admit has a container that is not about to end take its turn or not. The caller
// holds the lock.
func (s *Service) admit(ctx context.Context, e *entry, ready bool) {
	if e.record().State != Stopping {
		s.report(e.id, s.networks.Ready(ctx, e.id, ready))
	}
}

// pauseTurn takes a run that is to be paused out of the ports that it shares,
// and waits a while until it has served what it has begun, if others take over.
// The caller holds the lock.
func (s *Service) pauseTurn(ctx context.Context, e *entry) {
	if !shares(e.record()) {
		return
	}
	s.admit(ctx, e, false)
	if len(s.networks.Sharing(e.id)) > 0 {
		s.awaitServed(ctx, e.id, e.settled, leaveIn)
	}
}

// resumeTurn lets a run that is no longer paused in again: by its last check, or
// when it is seen to listen. The caller holds the lock.
func (s *Service) resumeTurn(ctx context.Context, e *entry) {
	switch h := e.health(); {
	case h == nil:
		s.watchTurn(e)
	case shares(e.record()):
		s.admit(ctx, e, h.Status == container.Healthy)
	}
}

// awaitListening waits until a socket listens at each of the published ports
// (or for a second at one of them: not every program serves all of them), and
// tells whether that came before the run ended. look counts those at which one
// does. If it takes longer than a start may, late is called, once.
func (s *Service) awaitListening(ctx context.Context, settled <-chan struct{}, ports int, look func() (int, error), late func()) bool {
	var some, waited time.Duration
	for wait := lookFirst; ; wait = min(2*wait, lookLast) {
		n, err := look()
		switch {
		case err != nil: // its end is about to be told
		case n == ports || n > 0 && some >= time.Second:
			return true
		case n > 0:
			some += wait
		}
		select {
		case <-ctx.Done():
			return false
		case <-settled:
			return false
		case <-s.clock.after(wait):
		}
		if waited += wait; waited >= startIn && waited-wait < startIn {
			late()
		}
	}
}

// listening counts the published ports at which the container listens.
func listening(pid int, ports []network.PortBinding) (int, error) {
	bound := map[string]map[uint16]bool{}
	n := 0
	for _, p := range ports {
		if bound[p.Proto] == nil {
			all, err := socket.BoundBy(pid, p.Proto)
			if err != nil {
				return 0, err
			}
			at := map[uint16]bool{}
			for _, b := range all {
				if !b.Addr.Addr().IsLoopback() {
					at[b.Addr.Port()] = true
				}
			}
			bound[p.Proto] = at
		}
		if bound[p.Proto][p.ContainerPort] {
			n++
		}
	}
	return n, nil
}

// leave takes a run that is to end out of the ports that it shares with others,
// and lets it serve what it has begun, for a while. Nothing of it keeps a
// container from being ended.
func (s *Service) leave(ctx context.Context, e *entry, settled <-chan struct{}, atMost time.Duration) {
	r := e.record()
	if !shares(r) || len(s.networks.Sharing(e.id)) == 0 {
		return
	}
	if _, err := s.networks.Drain(ctx, e.id, true); err != nil {
		s.report(e.id, err)
		return
	}
	s.awaitServed(ctx, e.id, settled, atMost)
}

// leaveFor is how much of the time that a container is given to end it may take
// to serve what it has begun.
func leaveFor(patience time.Duration) time.Duration {
	if patience < 0 {
		return leaveIn
	}
	return min(leaveIn, patience)
}

// awaitServed waits until no connection leads to a container through its
// published ports.
func (s *Service) awaitServed(ctx context.Context, id string, settled <-chan struct{}, atMost time.Duration) {
	late := s.clock.after(atMost)
	for wait := lookFirst; ; wait = min(2*wait, lookLast) {
		n, err := s.networks.Connections(ctx, id)
		if err != nil {
			s.report(id, err)
			return
		}
		if n == 0 || atMost <= 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-settled:
			return
		case <-late:
			return
		case <-s.clock.after(wait):
		}
	}
}

// Drain takes a running container out of its published ports, or lets it in
// again: it gets no new connections, while those that it has go on. It waits
// for their end for a while, if that is wanted. The record has it until the run
// ends.
func (s *Service) Drain(ctx context.Context, ref string, drained bool, wait time.Duration) (api.ContainerTurn, error) {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return api.ContainerTurn{}, err
	}
	settled := e.settled
	err = s.drain(context.WithoutCancel(ctx), e, drained)
	e.release()
	if err != nil {
		return api.ContainerTurn{}, err
	}
	if drained && wait > 0 {
		s.awaitServed(ctx, e.id, settled, wait)
	}
	return s.sayTurn(ctx, e)
}

// drain is Drain with the lock held.
func (s *Service) drain(ctx context.Context, e *entry, drained bool) error {
	if err := published(e); err != nil {
		return err
	}
	r := *e.record()
	if r.Network.Drained == drained {
		return nil
	}
	result, err := s.networks.Drain(ctx, e.id, drained)
	if err != nil {
		return err
	}
	r.Network = &result
	if err := s.save(e, &r); err != nil {
		_, undone := s.networks.Drain(ctx, e.id, !drained)
		s.report(e.id, undone)
		return err
	}
	s.announce(&r, map[bool]events.Action{true: api.ActionDrain, false: api.ActionUndrain}[drained])
	return nil
}

// published tells why there are no published ports to be taken out of.
func published(e *entry) error {
	r := e.record()
	switch {
	case e.live == nil:
		return conflict("container %s is not running", e.id)
	case r.Network == nil || len(r.Network.Ports) == 0:
		return conflict("container %s has no published ports", e.id)
	}
	return nil
}

// Turn says whether a running container gets what comes to its published ports,
// who shares them, and how many connections it has.
func (s *Service) Turn(ctx context.Context, ref string) (api.ContainerTurn, error) {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return api.ContainerTurn{}, err
	}
	defer e.release()
	if err := published(e); err != nil {
		return api.ContainerTurn{}, err
	}
	return s.sayTurn(ctx, e)
}

func (s *Service) sayTurn(ctx context.Context, e *entry) (api.ContainerTurn, error) {
	turn, err := s.networks.TurnOf(e.id)
	if err != nil {
		return api.ContainerTurn{}, conflict("container %s is not running", e.id)
	}
	n, err := s.networks.Connections(ctx, e.id)
	return api.ContainerTurn{Turn: turn, Connections: n, SharedWith: s.networks.Sharing(e.id)}, err
}
