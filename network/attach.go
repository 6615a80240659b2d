package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/netns"
	"github.com/berth-engine/berth/trace"
)

func newID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// undoIn bounds the undo of an Attach that failed.
const undoIn = 10 * time.Second

// undo is a stack of what to take back.
type undo []func(context.Context) error

func (u *undo) push(f func(context.Context) error) { *u = append(*u, f) }

// run takes everything back, the last first, also when ctx has ended.
func (u *undo) run(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoIn)
	defer cancel()
	for _, f := range slices.Backward(*u) {
		err = errors.Join(err, f(ctx))
	}
	return err
}

// Attach makes the network that d wants. The caller owns the descriptor of the
// namespace. On an error nothing stays.
func (m *Manager) Attach(ctx context.Context, d Desired) (*os.File, Result, error) {
	if err := check(&d, m.policy); err != nil {
		return nil, Result{}, err
	}
	a := &attachment{result: Result{Service: d.Service}}
	if err := m.enter(d.ID, a); err != nil {
		return nil, Result{}, err
	}
	ns, err := m.plug(ctx, &d, a)
	if err != nil {
		m.leave(d.ID)
		return nil, Result{}, err // the container says what it is about
	}
	for i := range a.result.Endpoints {
		m.announce(events.ActionConnect, d.ID, &a.result.Endpoints[i])
	}
	return ns, a.result, nil
}

// check tells whether d can be had, and fills in what it leaves open.
func check(d *Desired, policy Policy) error {
	if d.ID == "" {
		return invalid("attach without an id")
	}
	if err := checkPorts(d.Ports, policy); err != nil {
		return err
	}
	switch d.Mode {
	case None:
		if len(d.Networks) > 0 || len(d.Ports) > 0 {
			return invalid("network mode none has neither networks nor ports")
		}
		return nil
	case Bridge, "":
	default:
		return invalid("network mode %q", d.Mode)
	}
	if len(d.Networks) == 0 {
		d.Networks = []EndpointSpec{{Name: DefaultNetwork}}
	}
	for i := range d.Networks {
		if d.Networks[i].Name == "" {
			d.Networks[i].Name = DefaultNetwork
		}
	}
	return nil
}

// enter reserves the name.
func (m *Manager) enter(id string, a *attachment) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.attached[id] != nil {
		return fmt.Errorf("network of %s: %w", id, errdefs.ErrAlreadyExists)
	}
	m.attached[id] = a
	return nil
}

func (m *Manager) leave(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.attached, id)
}

// plug makes a namespace with all its interfaces and publishes ports; it fills
// in a.
func (m *Manager) plug(ctx context.Context, d *Desired, a *attachment) (_ *os.File, err error) {
	var u undo
	defer func() {
		if err != nil {
			err = u.run(ctx, err)
		}
	}()
	r := Result{Name: d.Name, Servers: d.Servers, Links: d.Links, Service: d.Service}
	var plans []*plan
	for _, w := range d.Networks {
		p, err := m.claim(ctx, w)
		if err != nil {
			return nil, err
		}
		u.push(func(context.Context) error { m.unclaim(p.s, &p.e); return nil })
		for _, other := range plans {
			if other.s == p.s {
				return nil, forbidden("endpoint with name %s already exists in network %s", d.Name, p.s.def.Name)
			}
		}
		plans = append(plans, p)
	}
	at := trace.From(ctx)
	at.Mark("network: addresses")
	n, err := m.furnish(ctx, plans, &u)
	if err != nil {
		return nil, err
	}
	at.Mark("network: namespace and interfaces")
	for _, p := range plans {
		r.Endpoints = append(r.Endpoints, p.e)
	}
	gateways, err := r.routes(func(name string) (netns.Interface, error) {
		return plans[slices.IndexFunc(plans, func(p *plan) bool { return p.e.Interface == name })].link, nil
	})
	if err != nil {
		return nil, err
	}
	set := n.AddGateways
	if slices.ContainsFunc(plans, func(p *plan) bool { return p.ready }) {
		set = n.SetGateways // there may be some already
	}
	if err := set(gateways...); err != nil {
		return nil, err
	}
	at.Mark("network: routes")
	if err := m.provide(ctx, d, a, &r, n, &u); err != nil {
		return nil, err
	}
	at.Mark("network: names, ports, rules")
	return n.End(), nil
}

// furnish makes the namespace and its interfaces.
func (m *Manager) furnish(ctx context.Context, plans []*plan, u *undo) (*netns.Namespace, error) {
	var (
		n    *netns.Namespace // not a result: undo needs it
		port *bridge.Port
		err  error
	)
	if len(plans) == 0 {
		n, err = netns.New(m.o.User, nil)
	} else {
		n, port, err = m.namespace(plans[0])
	}
	if err != nil {
		return nil, err
	}
	u.push(func(context.Context) error { n.Close(); return nil })
	for _, p := range plans {
		if err := m.wire(ctx, n, p, port, u); err != nil {
			return nil, err
		}
		port = nil
	}
	return n, nil
}

// provide publishes what the result's interfaces are for: names, ports, rules.
func (m *Manager) provide(ctx context.Context, d *Desired, a *attachment, r *Result, n *netns.Namespace, u *undo) error {
	if r.Resolver() {
		u.push(func(ctx context.Context) error { return m.unname(ctx, d.ID, r) })
		if err := m.name(ctx, d.ID, r, n.File, m.ports.AddResolver); err != nil {
			return err
		}
	}
	if err := m.expose(ctx, d, a, r, u); err != nil {
		return err
	}
	if err := m.redirect(ctx, n, &Result{}, r, d.Ports, u); err != nil {
		return err
	}
	rules, err := m.ruleset(r)
	if err != nil {
		return err
	}
	return m.publishFirst(ctx, d.ID, a, *r, rules)
}

// announce publishes an event for an endpoint.
func (m *Manager) announce(action events.Action, id string, e *Endpoint) {
	m.events.Publish(events.Message{Type: events.NetworkEventType, Action: action, Actor: events.Actor{
		ID: e.NetworkID, Attributes: map[string]string{"container": id, "name": e.Network, "type": m.driverOf(e)},
	}})
}

func (m *Manager) driverOf(e *Endpoint) string {
	if s := m.segmentOf(e); s != nil {
		return s.def.Driver
	}
	return DriverBridge
}

// namespace makes the namespace for the first endpoint, with its interface.
func (m *Manager) namespace(p *plan) (*netns.Namespace, *bridge.Port, error) {
	if p.s.bridge == nil {
		n, err := netns.New(m.o.User, nil)
		return n, nil, err
	}
	n, port, err := m.pool.Take(p.s.bridge)
	if err != nil {
		return nil, nil, fmt.Errorf("network namespace: %w", err)
	}
	return n, &port, nil
}
