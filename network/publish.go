package network

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/network/netd"
	"github.com/berth-engine/berth/network/nft"
)

func checkPorts(ports []PortSpec, policy Policy) error {
	for i := range ports {
		p := &ports[i]
		switch p.Proto {
		case "tcp", "udp":
		case "sctp":
			if policy == PolicyHost {
				return invalid("port %d/sctp cannot be published with publish-policy host: berth-netd does not pass SCTP on", p.ContainerPort)
			}
		default:
			return invalid("invalid protocol %q", p.Proto)
		}
		if p.ContainerPort == 0 {
			return invalid("published port without a container port")
		}
	}
	return nil
}

// led tells whether ports that the host holds can be led to the endpoint: over
// its bridge, or by its driver.
func (e *Endpoint) led() bool { return e.HostLink != "" || e.Mapped }

// targets are where published ports lead: the container's address on the
// network that is its way out, for each family. They are zero where there is
// none, or where no port of the host leads.
func (r *Result) targets() (four, six netip.Addr) {
	i4, i6 := r.Gateways()
	if i4 >= 0 && r.Endpoints[i4].led() {
		four = r.Endpoints[i4].IPv4.Addr()
	}
	if i6 >= 0 && r.Endpoints[i6].led() {
		six = r.Endpoints[i6].IPv6.Addr()
	}
	return four, six
}

// target is where berth-netd passes connections on to.
func (r *Result) target() netip.Addr {
	four, six := r.targets()
	if four.IsValid() {
		return four
	}
	return six
}

// outlet is the network through which ports are published; nil: none.
func (m *Manager) outlet(r *Result) (s *segment, e *Endpoint) {
	i, i6 := r.Gateways()
	if i < 0 || !r.Endpoints[i].led() {
		i = i6
	}
	if i < 0 || !r.Endpoints[i].led() {
		return nil, nil
	}
	e = &r.Endpoints[i]
	return m.segmentOf(e), e
}

// split tells which of the ports are opened at the container's own address, on
// a network of the gateway mode routed, and which the host is to have.
func (s *segment) split(r *Result, ports []PortSpec) (routed []PortBinding, host []PortSpec) {
	four, six := r.targets()
	for _, p := range ports {
		if !p.HostIP.IsValid() && s.o.binding.IsValid() && s.o.binding != netip.IPv4Unspecified() {
			p.HostIP = s.o.binding
		}
		if four.IsValid() && s.routed(false) || six.IsValid() && s.routed(true) {
			routed = append(routed, PortBinding{ContainerPort: p.ContainerPort, Proto: p.Proto, Routed: true})
		}
		switch {
		case !four.IsValid() && s.routed(true), !six.IsValid() && s.routed(false), s.routed(false) && s.routed(true):
			continue
		case s.routed(false) && !p.HostIP.IsValid():
			p.HostIP = netip.IPv6Unspecified()
		case s.routed(true) && !p.HostIP.IsValid():
			p.HostIP = netip.IPv4Unspecified()
		case p.HostIP.IsValid() && s.routed(p.HostIP.Is6()):
			continue
		}
		host = append(host, p)
	}
	return routed, host
}

// expose reserves the ports that d publishes. On a network without a way out
// there is nothing to publish, as in Docker.
func (m *Manager) expose(ctx context.Context, d *Desired, a *attachment, r *Result, u *undo) error {
	if err := m.leadable(r, d.Ports); err != nil {
		return err
	}
	s, e := m.outlet(r)
	if len(d.Ports) == 0 || s == nil {
		return nil
	}
	routed, specs := s.split(r, d.Ports)
	if len(specs) == 0 {
		r.Ports = Rows(routed)
		return nil
	}
	bindings, err := m.ports.Reserve(ctx, d.ID, m.come(a, r), m.wanted(r, specs))
	if err != nil {
		return refused(r, e, err)
	}
	u.push(func(ctx context.Context) error { return m.ports.Release(ctx, d.ID) })
	r.bind(routed, bindings)
	return fault.Point("network.reserved")
}

// bind makes ports of routed networks, and what netd holds, the published ones.
func (r *Result) bind(routed []PortBinding, bindings []netd.Binding) {
	all := slices.Grow(slices.Clone(routed), len(bindings))
	for _, b := range bindings {
		all = append(all, PortBinding{ContainerPort: b.ContainerPort, Proto: b.Proto, HostIP: b.HostIP, HostPort: b.HostPort})
	}
	r.Ports = Rows(all)
}

// wanted is what netd is to hold for ports of a container.
func (m *Manager) wanted(r *Result, specs []PortSpec) []netd.Port {
	to := r.target()
	want := make([]netd.Port, len(specs))
	for i, s := range specs {
		p := netd.Port{HostPort: s.HostPort, HostPortEnd: s.HostPortEnd, Proto: s.Proto, ContainerIP: to, ContainerPort: s.ContainerPort}
		if s.HostIP.IsValid() {
			p.HostIP = s.HostIP.Unmap()
		}
		m.policy.apply(&p)
		want[i] = p
	}
	return want
}

// refused makes a refusal of netd's a *PortError of the container that r is about.
func refused(r *Result, e *Endpoint, err error) error {
	no, ok := errors.AsType[*netd.RefusalError](err)
	if !ok {
		return err
	}
	return &PortError{
		Name: r.Name, EndpointID: e.EndpointID, HostIP: no.Port.HostIP, HostPort: no.Port.HostPort, ContainerPort: no.Port.ContainerPort,
		Proto: no.Port.Proto, Allocated: no.Allocated, Err: no,
	}
}

// ruleset is what the firewall leads on: from each address family to the
// container's address of the same. What reaches the host by the other one is up
// to berth-netd, and everything is where the host's own rules are to decide.
func (m *Manager) ruleset(r *Result) ([]nft.Port, error) {
	var out []nft.Port
	s, e := m.outlet(r)
	if s == nil || e.Mapped {
		return nil, nil
	}
	four, six := r.targets()
	for p := range r.Ports.All() {
		proto, err := nft.Protocol(p.Proto)
		if err != nil {
			return nil, err
		}
		rule := nft.Port{HostIP: p.HostIP, HostPort: p.HostPort, Proto: proto, ContainerPort: p.ContainerPort}
		for _, a := range []netip.Addr{four, six} {
			// Also on other networks, for links that may use containers' addresses.
			direct := p.Routed && s.routed(a.Is6()) || !p.Routed && (m.o.Direct || len(s.o.trusted) > 0) && a.Is6() == p.HostIP.Is6()
			if a.IsValid() && direct {
				out = append(out, nft.Port{Routed: true, ContainerIP: a, ContainerPort: p.ContainerPort, Proto: proto})
			}
		}
		switch {
		case p.Routed, m.policy == PolicyHost:
		case p.HostIP.Is4() && four.IsValid():
			rule.ContainerIP = four
			out = append(out, rule)
		case p.HostIP.Is6() && six.IsValid():
			rule.ContainerIP = six
			out = append(out, rule)
		}
	}
	return out, nil
}

// bindings are what berth-netd holds for a result.
func (m *Manager) bindings(r *Result) []netd.Binding { return m.held(r, r.Ports.list()) }

func (m *Manager) held(r *Result, ports []PortBinding) []netd.Binding {
	out := []netd.Binding{}
	to := r.target()
	for _, p := range ports {
		if !p.Routed {
			out = append(out, netd.Binding{HostIP: p.HostIP, HostPort: p.HostPort, Proto: p.Proto, ContainerIP: to, ContainerPort: p.ContainerPort, InName: m.policy == PolicyHost})
		}
	}
	return out
}

// publish puts a into effect: it fills it in, and its rules take the place of
// those that it had.
func (m *Manager) publish(a *attachment, r Result, ports []nft.Port) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.putInEffect(a, m.led(a), r, ports)
}

// publishFirst is publish for who has just come. If others have come since it
// took its number, one of them may be serving, not yet seen to: it comes after
// them.
func (m *Manager) publishFirst(ctx context.Context, id string, a *attachment, r Result, ports []nft.Port) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	led := m.led(a)
	if m.cameSince(a) {
		m.came++
		a.came = m.came
		if err := m.ports.Turn(ctx, id, (&attachment{result: r, came: a.came}).member()); err != nil {
			return err
		}
	}
	return m.putInEffect(a, led, r, ports)
}

// putInEffect is publish with m.mu held, where led is what the table says until
// then.
func (m *Manager) putInEffect(a *attachment, led []nft.Port, r Result, ports []nft.Port) error {
	before, old := a.result, a.rules
	a.result, a.rules = r, rulesOf(ports)
	err := m.turnTo(led, m.led(a))
	if err != nil {
		a.result, a.rules = before, old
	}
	return err
}

// routed tells whether published ports of an endpoint are opened at its own
// address instead of being led to it.
func (s *segment) routed(six bool) bool {
	if six {
		return s.o.gateway6 == nft.Routed
	}
	return s.o.gateway4 == nft.Routed
}
