package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/ipam"
	"github.com/berth-engine/berth/network/nft"
)

// segment is a network as it exists on the host.
type segment struct {
	def    Definition
	o      bridgeOptions
	bridge *bridge.Bridge // nil: the driver is another
	lan    lanOptions
	fabric fabric // nil: the driver is bridge
	prefix string // of containers' interfaces
	rule   nft.Network
	pools  []*ipam.Pool // one for each of def.Subnets
	// broken says why the network could not be made when the engine started;
	// containers cannot join it.
	broken error

	// Guarded by Manager.mu.
	users int  // endpoints, and who is about to make one
	odd   bool // an address had another MAC than the one that belongs to it
	gone  bool // it is being removed
}

// own tells whether a driver is the engine's.
func own(driver string) bool {
	return driver == DriverBridge || driver == DriverMacvlan || driver == DriverIPvlan || driver == DriverCNI
}

// userDefined tells whether somebody made the network; there is one other, the
// default one.
func (s *segment) userDefined() bool { return s.def.Name != DefaultNetwork }

// newSegment reads a definition; nothing is made yet.
func newSegment(d Definition) (*segment, error) {
	s := &segment{def: d}
	var err error
	switch d.Driver {
	case DriverBridge:
		s.o, err = parseBridge(&d)
		s.prefix = s.o.prefix
	case DriverMacvlan, DriverIPvlan:
		s.lan, err = parseLAN(&d)
		s.prefix = s.lan.prefix
	default:
		s.prefix = "eth"
	}
	if err != nil {
		return nil, err
	}
	for _, subnet := range d.Subnets {
		p, err := ipam.New(subnet)
		if err != nil {
			return nil, err
		}
		s.pools = append(s.pools, p)
	}
	s.rule = nft.Network{
		Bridge: s.o.name, Gateway4: s.o.gateway4, Gateway6: s.o.gateway6, Internal: d.Internal,
		NoICC: s.o.noICC, NoMasquerade: s.o.noMasquerade, Source4: s.o.source4, Source6: s.o.source6, Trusted: s.o.trusted,
	}
	for _, subnet := range d.Subnets {
		s.rule.Subnets = append(s.rule.Subnets, subnet.Prefix)
	}
	return s, nil
}

// pool is the one that has an address; nil: none.
func (s *segment) pool(a netip.Addr) *ipam.Pool {
	for _, p := range s.pools {
		if p.Subnet().Prefix.Contains(a) {
			return p
		}
	}
	return nil
}

// take leases an address of one family: the one wished, or any. It is zero if
// the network has none of that family.
func (s *segment) take(six bool, wish netip.Addr) (netip.Prefix, error) {
	if wish.IsValid() {
		p := s.pool(wish)
		if p == nil {
			return netip.Prefix{}, invalid("invalid endpoint settings:\nno configured subnet or ip-range contain the IP address %s", wish)
		}
		if err := p.Reserve(wish); err != nil {
			return netip.Prefix{}, forbidden("Address already in use")
		}
		return netip.PrefixFrom(wish, p.Subnet().Prefix.Bits()), nil
	}
	var last error
	for _, p := range s.pools {
		if p.Subnet().Prefix.Addr().Is6() != six {
			continue
		}
		a, err := p.Take()
		if err == nil {
			return netip.PrefixFrom(a, p.Subnet().Prefix.Bits()), nil
		}
		last = err
	}
	if errdefs.IsResourceExhausted(last) {
		family := 4
		if six {
			family = 6
		}
		last = errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("no available IPv%d addresses on this network's address pools: %s (%s)", family, s.def.Name, s.def.ID))
	}
	return netip.Prefix{}, last
}

func (s *segment) release(e *Endpoint) {
	for _, a := range e.assigned() {
		if p := s.pool(a.Addr()); p != nil {
			p.Release(a.Addr())
		}
	}
}

// gateway is the way out for an address; zero: there is none.
func (s *segment) gateway(a netip.Prefix) netip.Addr {
	if !a.IsValid() || s.inward() {
		return netip.Addr{}
	}
	p := s.pool(a.Addr())
	if p == nil {
		return netip.Addr{}
	}
	subnet := p.Subnet()
	aux := auxGateway4
	if a.Addr().Is6() {
		aux = auxGateway6
	}
	if other, ok := subnet.Aux[aux]; ok && s.bridge != nil {
		return other
	}
	return subnet.Gateway
}

// Names of auxiliary addresses that are containers' gateway in the place of the
// bridge's own address; they are Docker's.
const (
	auxGateway4 = "DefaultGatewayIPv4"
	auxGateway6 = "DefaultGatewayIPv6"
)

// inward tells whether nothing leads out of the network.
func (s *segment) inward() bool { return s.def.Internal || s.lan.alone }

// open makes the network's link, or takes over the one there is.
func (m *Manager) open(ctx context.Context, s *segment) (err error) {
	switch s.def.Driver {
	case DriverBridge:
		return m.openBridge(s)
	case DriverMacvlan, DriverIPvlan:
		return m.openLAN(s)
	case DriverCNI:
		if err := m.openCNI(s); err != nil {
			return err
		}
		return s.fabric.(*cniFabric).check(ctx)
	}
	return m.openRemote(ctx, s)
}

// unmake takes away what open made.
func (s *segment) unmake(ctx context.Context) error {
	if s.fabric != nil {
		return s.fabric.remove(ctx)
	}
	return s.bridge.Remove()
}

func (m *Manager) openBridge(s *segment) (err error) {
	o := bridge.Options{
		Name: s.o.name, MTU: s.o.mtu, Bare: true, Isolate: s.o.noICC, Log: m.log,
		Owner: m.owner, Alive: m.alive,
	}
	if o.MTU == 0 {
		if o.MTU, err = m.uplinkMTU(); err != nil {
			return err
		}
	}
	if s.o.gateway4 != nft.Isolated && !s.o.inhibit {
		o.Address = s.def.home(false)
	}
	if s.o.gateway6 != nft.Isolated {
		o.Six = s.def.home(true)
	}
	if len(s.def.subnets(true)) > 0 {
		if err := m.forwardSix(); err != nil {
			return err
		}
	}
	s.bridge, err = bridge.Open(m.conn, o)
	return err
}

// admit makes a network one of those that there are; m.mu is held, except in New.
func (m *Manager) admit(s *segment) {
	m.segments[s.def.ID], m.names[s.def.Name] = s, s
	if s.def.Driver == DriverBridge && !s.def.ConfigOnly && s.o.name != "" {
		m.links[s.o.name] = s
	}
	for _, p := range s.taken() {
		m.subnets.Add(p)
	}
}

// expel takes back what admit did; m.mu is held.
func (m *Manager) expel(s *segment) {
	delete(m.segments, s.def.ID)
	if m.names[s.def.Name] == s {
		delete(m.names, s.def.Name)
	}
	if m.links[s.o.name] == s {
		delete(m.links, s.o.name)
	}
	for _, p := range s.taken() {
		m.subnets.Remove(p)
	}
}

// taken are the subnets that no other network may have.
func (s *segment) taken() []netip.Prefix {
	if s.def.ConfigOnly {
		return nil
	}
	var out []netip.Prefix
	for _, subnet := range s.def.Subnets {
		out = append(out, subnet.Prefix)
	}
	return out
}

// find returns a network by its name, its id, or the beginning of its id; m.mu
// is held.
func (m *Manager) find(ref string) (*segment, error) {
	if ref == "default" {
		ref = DefaultNetwork
	}
	if s := m.segments[ref]; s != nil {
		return s, nil
	}
	if s := m.names[ref]; s != nil {
		return s, nil
	}
	begins := m.begins(ref)
	if len(begins) > 1 {
		return nil, invalid("network %s is ambiguous (%d matches found based on ID prefix)", ref, len(begins))
	}
	if len(begins) == 1 && m.segments[begins[0]] != nil {
		return m.segments[begins[0]], nil
	}
	return nil, notFound(ref)
}

// segmentOf is the network that an endpoint is on; nil: it was removed.
func (m *Manager) segmentOf(e *Endpoint) *segment {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.segments[e.NetworkID]
}

// hold finds a network and keeps it from being removed; drop ends that.
func (m *Manager) hold(ref string) (*segment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(ref)
	switch {
	case err != nil:
		return nil, err
	case s.gone:
		return nil, notFound(ref)
	case s.def.ConfigOnly:
		return nil, forbidden("cannot connect a container to a config-only network: %s", s.def.Name)
	case s.broken != nil:
		return nil, fmt.Errorf("network %s could not be made: %w", s.def.Name, s.broken)
	}
	if s.bridge == nil && s.fabric == nil { // its removal failed half way
		return nil, notFound(ref)
	}
	s.users++
	return s, nil
}

func (m *Manager) drop(s *segment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.users--
}

// load makes the networks that an earlier engine had. One that cannot be made
// is no reason not to start.
func (m *Manager) load() error {
	defs, err := m.defs.load(func(path string, err error) {
		m.log.Error("a network's definition cannot be read", "path", path, "error", err)
	})
	if err != nil {
		return err
	}
	for _, d := range defs {
		s, err := newSegment(d)
		if err == nil && !d.ConfigOnly {
			err = m.reopen(s)
		}
		if err != nil {
			m.log.Error("a network could not be made", "network", d.Name, "error", err)
			s = &segment{def: d, broken: err}
		}
		m.admit(s)
	}
	return nil
}

// removeLinks takes away all networks' links.
func (m *Manager) removeLinks() error {
	var errs []error
	for _, s := range m.segments {
		if s.bridge != nil {
			errs = append(errs, s.bridge.Remove())
		}
		if s.fabric != nil {
			errs = append(errs, s.fabric.close())
		}
	}
	return errors.Join(errs...)
}

// reopen makes a network again that an earlier engine had. A parent may come
// later than the engine, as some links do: it is looked for whenever somebody
// joins.
func (m *Manager) reopen(s *segment) error {
	switch {
	case !own(s.def.Driver):
		s.fabric = &remote{m, s} // the plugin knows its networks
		return nil
	case s.def.Driver == DriverCNI:
		return m.openCNI(s)
	case s.lan.parent == "":
		return m.openBridge(s)
	}
	n, err := m.newLAN(s)
	if err != nil {
		m.log.Warn("the parent interface of a network is not there", "network", s.def.Name, "error", err)
	}
	s.fabric = n
	return nil
}
