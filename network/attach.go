package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/netd"
	"github.com/berth-engine/berth/network/nft"
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
	wish, err := check(d)
	if err != nil {
		return nil, Result{}, err
	}
	a := &attachment{}
	if err := m.enter(d.ID, a); err != nil {
		return nil, Result{}, err
	}
	var ns *os.File
	if d.Mode == None {
		ns, err = bridge.Loopback()
	} else {
		ns, err = m.plug(ctx, d.ID, wish, d.Ports, a)
	}
	if err != nil {
		m.leave(d.ID)
		if _, ok := errors.AsType[*PortError](err); ok {
			return nil, Result{}, err // its text is Docker's
		}
		return nil, Result{}, fmt.Errorf("attach %s: %w", d.ID, err)
	}
	m.announce(events.ActionConnect, d.ID, a.result)
	return ns, a.result, nil
}

// check tells whether d can be had, and returns the one endpoint wanted.
func check(d Desired) (EndpointSpec, error) {
	invalid := func(format string, args ...any) (EndpointSpec, error) {
		return EndpointSpec{}, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
	}
	if d.ID == "" {
		return invalid("attach without an id")
	}
	for i := range d.Ports {
		p := &d.Ports[i]
		switch p.Proto {
		case "", "tcp", "udp":
		case "sctp":
			return EndpointSpec{}, fmt.Errorf("publish port %d/sctp: %w", p.ContainerPort, errdefs.ErrNotImplemented)
		default:
			return invalid("invalid protocol %q", p.Proto)
		}
		if p.ContainerPort == 0 {
			return invalid("published port without a container port")
		}
	}
	switch d.Mode {
	case None:
		if len(d.Networks) > 0 || len(d.Ports) > 0 {
			return invalid("network mode none has neither networks nor ports")
		}
		return EndpointSpec{}, nil
	case Bridge, "":
	default:
		return invalid("network mode %q", d.Mode)
	}
	var wish EndpointSpec
	if len(d.Networks) > 1 {
		return wish, fmt.Errorf("more than one network: %w", errdefs.ErrNotImplemented)
	}
	if len(d.Networks) == 1 {
		wish = d.Networks[0]
	}
	if wish.Name != "" && wish.Name != DefaultNetwork {
		return wish, fmt.Errorf("network %s not found: %w", wish.Name, errdefs.ErrNotFound)
	}
	if wish.MAC != nil && (len(wish.MAC) != 6 || wish.MAC[0]&1 != 0) {
		return invalid("invalid MAC address %s", wish.MAC)
	}
	return wish, nil
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

// plug makes a namespace on the bridge and publishes ports; it fills in a.
func (m *Manager) plug(ctx context.Context, id string, wish EndpointSpec, specs []PortSpec, a *attachment) (_ *os.File, err error) {
	var u undo
	defer func() {
		if err != nil {
			err = u.run(ctx, err)
		}
	}()
	address, err := m.lease(wish.IPv4)
	if err != nil {
		return nil, err
	}
	u.push(func(context.Context) error { m.ipam.Release(address); return nil })
	ns, err := m.pool.Take()
	if err != nil {
		return nil, err
	}
	u.push(func(context.Context) error { ns.Close(); return nil })
	mac := wish.MAC
	if mac == nil {
		mac = bridge.MAC(address)
	}
	host := m.bridge.Address()
	e := Endpoint{
		Network: DefaultNetwork, NetworkID: m.id, EndpointID: newID(),
		Interface: bridge.Interface, HostLink: ns.HostLink, MAC: mac.String(),
		IPv4: netip.PrefixFrom(address, host.Bits()), Gateway: host.Addr(),
	}
	if err := ns.Configure(e.IPv4, e.Gateway, mac); err != nil {
		return nil, err
	}
	r := Result{Endpoints: []Endpoint{e}}
	var rules []nft.Port
	if len(specs) > 0 {
		bindings, err := m.reserve(ctx, id, e, specs)
		if err != nil {
			return nil, err
		}
		u.push(func(ctx context.Context) error { return m.ports.Release(ctx, id) })
		for _, b := range bindings {
			r.Ports = append(r.Ports, PortBinding{b.ContainerPort, b.Proto, b.HostIP, b.HostPort})
		}
		if err := fault.Point("network.reserved"); err != nil {
			return nil, err
		}
		if rules, err = m.ruleset(address, r.Ports); err != nil {
			return nil, err
		}
	}
	if err := m.publish(a, r, rules); err != nil {
		return nil, err
	}
	return ns.Detach(), nil
}

func (m *Manager) lease(wish netip.Addr) (netip.Addr, error) {
	if wish.IsValid() {
		return wish.Unmap(), m.ipam.Reserve(wish.Unmap())
	}
	return m.ipam.Take()
}

// reserve holds the host's ports.
func (m *Manager) reserve(ctx context.Context, id string, e Endpoint, specs []PortSpec) ([]netd.Binding, error) {
	got, err := m.ports.Reserve(ctx, id, m.wanted(e, specs))
	return got, refused(e, err)
}

// wanted is what netd is to hold for ports of an endpoint.
func (m *Manager) wanted(e Endpoint, specs []PortSpec) []netd.Port {
	want := make([]netd.Port, len(specs))
	for i, s := range specs {
		p := netd.Port{HostPort: s.HostPort, HostPortEnd: s.HostPortEnd, Proto: s.Proto, ContainerIP: e.IPv4.Addr(), ContainerPort: s.ContainerPort}
		if p.Proto == "" {
			p.Proto = "tcp"
		}
		if s.HostIP.IsValid() {
			p.HostIP = s.HostIP.Unmap()
		}
		m.policy.apply(&p)
		want[i] = p
	}
	return want
}

// refused makes a refusal of netd's a *PortError.
func refused(e Endpoint, err error) error {
	no, ok := errors.AsType[*netd.RefusalError](err)
	if !ok {
		return err
	}
	return &PortError{
		EndpointID: e.EndpointID, HostIP: no.Port.HostIP, HostPort: no.Port.HostPort, ContainerPort: no.Port.ContainerPort,
		Proto: no.Port.Proto, Allocated: no.Allocated, Err: no,
	}
}

// ruleset is what the firewall leads on: IPv6 is up to netd, and everything is
// where the host's own rules are to decide.
func (m *Manager) ruleset(address netip.Addr, ports []PortBinding) ([]nft.Port, error) {
	if m.policy == PolicyHost {
		return nil, nil
	}
	var out []nft.Port
	for _, p := range ports {
		proto, err := nft.Protocol(p.Proto)
		if err != nil {
			return nil, err
		}
		if p.HostIP.Is4() {
			out = append(out, nft.Port{HostIP: p.HostIP, HostPort: p.HostPort, Proto: proto, ContainerIP: address, ContainerPort: p.ContainerPort})
		}
	}
	return out, nil
}

// publish puts a into effect: it fills it in and adds its rules.
func (m *Manager) publish(a *attachment, r Result, rules []nft.Port) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.result, a.rules = r, rules
	if len(rules) == 0 {
		return nil
	}
	err := m.table.Add(rules)
	if err != nil {
		// Somebody removed the table, or an old rule is in the way.
		m.log.Warn("publish ports", "error", err)
		err = m.replace(m.published())
	}
	if err != nil {
		a.result, a.rules = Result{}, nil
	}
	return err
}

// announce publishes an event for each endpoint.
func (m *Manager) announce(action events.Action, id string, r Result) {
	for _, e := range r.Endpoints {
		m.events.Publish(events.Message{Type: events.NetworkEventType, Action: action, Actor: events.Actor{
			ID: e.NetworkID, Attributes: map[string]string{"container": id, "name": e.Network, "type": "bridge"},
		}})
	}
}
