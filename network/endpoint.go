package network

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/netns"
)

// Options of endpoints, by Docker's names.
const (
	optInterface = "com.docker.network.endpoint.ifname"
	optSysctls   = "com.docker.network.endpoint.sysctls"
)

// check tells whether the wish makes sense, whatever the network is.
func (w *EndpointSpec) check(driver string) error {
	if w.MAC != nil && (len(w.MAC) != 6 || w.MAC[0]&1 != 0) {
		return invalid("invalid MAC address %s", w.MAC)
	}
	for key, value := range w.DriverOpts {
		switch key {
		case optInterface:
			if err := checkLink(key, value); err != nil {
				return err
			}
		case optSysctls:
			for _, s := range splitSysctls(value) {
				name, _, set := strings.Cut(s, "=")
				if _, ok := netns.SysctlPath(name, "x"); !ok || !set {
					return invalid("unrecognised network interface sysctl '%s'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'", s)
				}
			}
		default:
			if own(driver) {
				return invalid("unknown driver option %q of an endpoint", key)
			}
		}
	}
	for _, a := range w.LinkLocal {
		if !a.IsLinkLocalUnicast() {
			return invalid("invalid link-local IP address: %s", a)
		}
	}
	return nil
}

func splitSysctls(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// plan is an endpoint that is being made.
type plan struct {
	wish EndpointSpec
	s    *segment
	e    Endpoint
	mac  net.HardwareAddr // nil: as the interface has it
	link netns.Interface
	// listens: what routers advertise is believed.
	listens bool
	name    string        // of the interface
	ready   bool          // the driver has set the interface up
	routes  []netns.Route // beside the default ones
}

// claim takes a place on a network: its addresses, and that it stays. unclaim
// gives it back.
func (m *Manager) claim(ctx context.Context, w EndpointSpec) (_ *plan, err error) {
	s, err := m.hold(w.Name)
	if err != nil {
		return nil, err
	}
	p := &plan{wish: w, s: s}
	defer func() {
		if err != nil {
			m.unclaim(s, &p.e)
		}
	}()
	if err := w.check(s.def.Driver); err != nil {
		return nil, err
	}
	p.e = Endpoint{
		Network: s.def.Name, NetworkID: s.def.ID, EndpointID: newID(), Names: w.Names, Priority: w.GwPriority,
		LinkLocal: w.LinkLocal,
	}
	four, six := w.IPv4.Unmap(), w.IPv6
	if s.choosesAddresses() {
		four, six = netip.Addr{}, netip.Addr{}
	}
	take := s.take
	if len(s.def.Leases) > 0 {
		take = func(six bool, wish netip.Addr) (netip.Prefix, error) { return m.leaseFrom(ctx, s, p, six, wish) }
	}
	if p.e.IPv4, err = take(false, four); err != nil {
		return nil, err
	}
	if p.e.IPv6, err = take(true, six); err != nil {
		return nil, err
	}
	if err := m.flows.taken(p.e.assigned()); err != nil {
		m.log.Warn("forget connections of who had these addresses before", "addresses", p.e.assigned(), "error", err)
	}
	w.MAC = p.wish.MAC
	if p.e.OnLink = s.lan.flat() && !s.inward(); !s.lan.flat() {
		p.e.Gateway, p.e.Gateway6 = s.gateway(p.e.IPv4), s.gateway(p.e.IPv6)
	}
	if p.mac = w.MAC; p.mac == nil && p.e.address().IsValid() {
		p.mac = bridge.MAC(p.e.address())
	}
	p.e.MAC = p.mac.String()
	return p, nil
}

func (m *Manager) unclaim(s *segment, e *Endpoint) {
	if len(s.def.Leases) > 0 {
		m.leaseBack(s, e)
	}
	if !s.choosesAddresses() { // else nobody here hears who gets them next
		if err := m.flows.left(e.assigned()); err != nil {
			m.log.Warn("forget connections of containers that are gone", "error", err)
		}
	}
	s.release(e)
	m.drop(s)
}

// address is the endpoint's IPv4 address, or the IPv6 one if it has no other.
func (e *Endpoint) address() netip.Addr {
	if e.IPv4.IsValid() {
		return e.IPv4.Addr()
	}
	return e.IPv6.Addr()
}

// assigned are its addresses of the network, one of each family that this has.
func (e *Endpoint) assigned() []netip.Prefix {
	return slices.DeleteFunc([]netip.Prefix{e.IPv4, e.IPv6}, func(p netip.Prefix) bool { return !p.IsValid() })
}

// addresses are all that the interface has.
func (e *Endpoint) addresses() []netip.Prefix {
	out := e.assigned()
	for _, a := range e.LinkLocal {
		bits := 16 // RFC 3927
		if a.Is6() {
			bits = 64
		}
		out = append(out, netip.PrefixFrom(a, bits))
	}
	return out
}

// wire gives a namespace the planned interface. port is one that is there
// already; nil: it is made.
func (m *Manager) wire(ctx context.Context, n *netns.Namespace, p *plan, port *bridge.Port, u *undo) (err error) {
	if err := p.setName(n, port != nil); err != nil {
		return err
	}
	var i netns.Interface
	switch {
	case p.s.fabric != nil:
		if i, err = p.s.fabric.join(ctx, n, p); err != nil {
			return err
		}
		u.push(func(ctx context.Context) error { return p.s.fabric.leave(ctx, n, &p.e) })
	case port == nil:
		made, err := p.s.bridge.Connect(n, p.name)
		if err != nil {
			return err
		}
		port = &made
		fallthrough
	default:
		i, p.e.HostLink = port.Interface, port.HostLink
		if err := m.shield(p, port, u); err != nil {
			return err
		}
	}
	p.e.Interface = i.Name
	if p.ready {
		p.link = i
		return nil
	}
	p.link, err = n.Configure(i, netns.Config{
		Name: p.name, MAC: p.mac, Addresses: p.e.addresses(), Listen: p.listens,
		Sysctls: splitSysctls(p.wish.DriverOpts[optSysctls]), Announce: m.announces(p),
	})
	p.e.Interface = p.link.Name
	if err != nil {
		return err
	}
	return n.AddRoutes(p.link, p.routes...)
}

// setName decides what the interface is called; first: it is the namespace's
// only one, whatever it is called now.
func (p *plan) setName(n *netns.Namespace, first bool) (err error) {
	p.name = p.wish.DriverOpts[optInterface]
	switch {
	case first && p.name == "":
		p.name = p.s.prefix + "0"
	case first:
	case p.name == "":
		p.name, err = n.FreeName(p.s.prefix)
	default:
		if _, err := n.Interface(p.name); err == nil {
			return invalid("interface name %q is in use in the container", p.name)
		}
	}
	return err
}

// shield keeps others from taking the endpoint's addresses, before it has them.
func (m *Manager) shield(p *plan, port *bridge.Port, u *undo) error {
	if !p.s.guarded() {
		return nil
	}
	if err := p.s.bridge.Pin(*port, p.mac); err != nil {
		return err
	}
	u.push(func(context.Context) error { return m.guard.remove(p.e.EndpointID) })
	return m.guard.add(p.e.EndpointID, p.s.holder(&p.e))
}

// announces tells whether neighbours may know the address with another MAC. An
// IPv4 address has the same whoever has it, unless somebody chose one.
func (m *Manager) announces(p *plan) bool {
	if p.s.fabric != nil {
		return !p.s.lan.flat()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.wish.MAC != nil {
		p.s.odd = true
	}
	return p.s.odd || p.e.IPv6.IsValid()
}
