package network

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/netd"
	"github.com/berth-engine/berth/network/nft"
)

// Service is what a container is one of several of. Containers of the same
// Service may publish the same ports: who connects gets one of them. The zero
// Service, and one without either name, shares nothing.
type Service struct {
	Project string `json:"project"`
	Name    string `json:"name"`
}

func (s Service) none() bool { return s.Project == "" || s.Name == "" }

// share is the service as berth-netd is told.
func (s Service) share() string {
	if s.none() {
		return ""
	}
	return url.PathEscape(s.Project) + "/" + url.PathEscape(s.Name)
}

// turn says whether the container gets what comes anew.
func (a *attachment) turn() netd.Turn {
	switch {
	case a.result.Drained:
		return netd.Drained
	case a.ready || a.result.Service.none():
		return netd.Ready
	}
	return netd.Waiting
}

// come gives who is to share ports its number among those that start, and returns
// what it is to them.
func (m *Manager) come(a *attachment, r *Result) netd.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !r.Service.none() {
		m.came++
		a.came = m.came
	}
	return (&attachment{result: *r, came: a.came}).member()
}

// cameSince tells whether another of its service has come since the container got
// its number; m.mu is held.
func (m *Manager) cameSince(a *attachment) bool {
	if a.came == 0 || a.came == m.came {
		return false // it shares nothing, or has the last number
	}
	for _, b := range m.attached {
		if b.came > a.came && b.result.Service == a.result.Service {
			return true
		}
	}
	return false
}

// member is what the container is to others that share its ports.
func (a *attachment) member() netd.Member {
	share := a.result.Service.share()
	if slices.ContainsFunc(a.result.Endpoints, func(e Endpoint) bool { return e.Mapped }) {
		share = "" // a driver leads a port to one container
	}
	return netd.Member{Share: share, Turn: a.turn(), Came: a.came}
}

// Ready says whether a container that shares ports takes its turn, and so, that
// its start is over. One that does not gets new connections only if none of the
// others takes its. At first, none does; of those whose start is not over, the
// first that was attached gets what comes, if there are no others. Of containers
// that share nothing, it changes nothing. What is connected stays so. A container
// that is not attached is no error.
func (m *Manager) Ready(ctx context.Context, id string, ready bool) error {
	return m.judge(ctx, id, func(a *attachment) { a.ready, a.came = ready, 0 })
}

// Started says that a container's start is over, although nobody has seen
// whether it is ready.
func (m *Manager) Started(ctx context.Context, id string) error {
	return m.judge(ctx, id, func(a *attachment) { a.came = 0 })
}

func (m *Manager) judge(ctx context.Context, id string, change func(*attachment)) error {
	_, err := m.setTurn(ctx, id, change)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Drain takes a container out of its published ports, shared or not, or lets it
// in again: it gets no new connections, also if there is nobody else to take
// them. What is connected stays so. It returns the Result to save.
// errdefs.ErrNotFound: it is not attached.
func (m *Manager) Drain(ctx context.Context, id string, drained bool) (Result, error) {
	return m.setTurn(ctx, id, func(a *attachment) { a.result.Drained = drained })
}

// setTurn changes whether a container takes its turn: netd is told, and the
// firewall. On an error it is as it was.
func (m *Manager) setTurn(ctx context.Context, id string, change func(*attachment)) (Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.attachment(id)
	if err != nil {
		return Result{}, err
	}
	before, was, ready, came := m.led(a), a.result.Drained, a.ready, a.came
	change(a)
	if err = m.ports.Turn(ctx, id, a.member()); err == nil {
		err = m.turnTo(before, m.led(a))
	}
	if err != nil {
		a.result.Drained, a.ready, a.came = was, ready, came
		return Result{}, errors.Join(err, m.ports.Turn(ctx, id, a.member()))
	}
	return a.result, nil
}

// TurnOf says in words whether a container gets what comes anew: "ready",
// "waiting" or "drained".
func (m *Manager) TurnOf(id string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.attachment(id)
	if err != nil {
		return "", err
	}
	return string(cmp.Or(a.turn(), "ready")), nil
}

// Sharing lists the containers that have some port of the host together with
// this one.
func (m *Manager) Sharing(id string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []string{}
	a := m.attached[id]
	if a == nil || a.result.Service.none() {
		return out
	}
	mine := map[PortBinding]bool{}
	for p := range a.result.Ports.All() {
		mine[p.onHost()] = !p.Routed
	}
	for other, b := range m.attached {
		if b == a || b.result.Service != a.result.Service {
			continue
		}
		for p := range b.result.Ports.All() {
			if !p.Routed && mine[p.onHost()] {
				out = append(out, other)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// onHost is where the port is, not where it leads.
func (p PortBinding) onHost() PortBinding {
	return PortBinding{HostIP: p.HostIP, HostPort: p.HostPort, Proto: p.Proto}
}

// Connections is how many TCP connections lead through published ports to a
// container.
func (m *Manager) Connections(ctx context.Context, id string) (int, error) {
	a, err := m.attachedTo(id)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	r := a.result
	m.mu.Unlock()
	n, err := m.ports.Connections(ctx, id)
	if err != nil {
		return 0, err
	}
	four, six := r.targets()
	for _, to := range []netip.Addr{four, six} {
		if !to.IsValid() {
			continue
		}
		led, err := netlink.LedTo(to)
		if err != nil {
			return 0, err
		}
		n += led
	}
	return n, nil
}

// led is what the firewall's table says because of a container, and of those
// that share ports with it; m.mu is held.
func (m *Manager) led(a *attachment) []nft.Port {
	if a.result.Service.none() {
		return spread([]*attachment{a})
	}
	var all []*attachment
	for _, b := range m.attached {
		if b == a || b.result.Service == a.result.Service {
			all = append(all, b)
		}
	}
	return spread(all)
}

// spread gives each port of the host to those whose turn it is.
func spread(all []*attachment) []nft.Port {
	type seat struct {
		member netd.Member
		rule   nft.Port
	}
	if len(all) == 1 { // nobody shares anything: it may have ten thousand
		if all[0].turn() != netd.Drained {
			return all[0].rules.list()
		}
		return slices.DeleteFunc(all[0].rules.list(), func(p nft.Port) bool { return !p.Routed })
	}
	var out []nft.Port
	var order []nft.Port
	seats := map[nft.Port][]seat{} // by port of the host
	for _, a := range all {
		for _, p := range a.rules.list() {
			if p.Routed {
				out = append(out, p)
				continue
			}
			at := nft.Port{HostIP: p.HostIP, HostPort: p.HostPort, Proto: p.Proto}
			if seats[at] == nil {
				order = append(order, at)
			}
			seats[at] = append(seats[at], seat{a.member(), p})
		}
	}
	for _, at := range order {
		next := netd.Next(seats[at], func(s seat) netd.Member { return s.member })
		slices.SortFunc(next, func(a, b seat) int {
			return cmp.Or(a.rule.ContainerIP.Compare(b.rule.ContainerIP), cmp.Compare(a.rule.ContainerPort, b.rule.ContainerPort))
		})
		for i, s := range next {
			if len(next) > 1 {
				s.rule.Slot, s.rule.Of = uint16(i), uint16(len(next))
			}
			out = append(out, s.rule)
		}
	}
	return out
}
