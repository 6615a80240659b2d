package network

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/dns"
	"github.com/berth-engine/berth/network/ipam"
)

// HomeOptions say what the default network is to be.
type HomeOptions struct {
	// BIP is the bridge's address and its network's size. Zero: what an existing
	// link has, or else the first host's of Range, or else the first of the
	// pools that overlaps with nothing on the host.
	BIP netip.Prefix
	// Range is the part of the network from which containers get addresses;
	// zero: all of it.
	Range netip.Prefix
	// Gateway is containers' way out in the place of the bridge.
	Gateway netip.Addr
	// IPv6: the network has IPv6, too. BIP6, Range6 and Gateway6 are the same as
	// above; without the first two, the network is of this engine's unique local
	// prefix, or of Options.Pools.
	IPv6     bool
	BIP6     netip.Prefix
	Range6   netip.Prefix
	Gateway6 netip.Addr
	// NoICC: containers do not reach each other.
	NoICC bool
	// NoMasquerade leaves containers their own addresses on the way out.
	NoMasquerade bool
	// Binding is the address of ports that are published without one; zero or
	// 0.0.0.0: every address.
	Binding netip.Addr
}

// openHome makes or adopts the default network.
func (m *Manager) openHome(dir string) error {
	h, mtu := &m.o.Home, m.o.MTU
	if mtu == 0 {
		var err error
		if mtu, err = m.uplinkMTU(); err != nil {
			return err
		}
	}
	o := bridge.Options{
		Name: m.o.Bridge, Address: h.BIP, Prefer: lastAddress(filepath.Join(dir, "bridge.address")), Pools: m.o.Pools, MTU: mtu,
		Avoid: dns.Host(false).Servers, Isolate: h.NoICC, Log: m.log, Owner: m.owner, Alive: m.alive,
	}
	if h.Range.IsValid() && !o.Address.IsValid() {
		var err error
		if o.Address, err = m.around(h.Range); err != nil {
			return err
		}
	}
	if h.IPv6 {
		if err := m.forwardSix(); err != nil {
			return fmt.Errorf("IPv6 on the default network: %w", err)
		}
		var err error
		if o.Six, err = m.homeSix(filepath.Join(dir, "bridge.address6")); err != nil {
			return fmt.Errorf("IPv6 on the default network: %w", err)
		}
	}
	b, err := bridge.Open(m.conn, o)
	if err != nil {
		return err
	}
	if err := keepAddress(filepath.Join(dir, "bridge.address"), b.Address()); err != nil {
		return err
	}
	d := m.homeDefinition(b, o.Six)
	s, err := newSegment(d)
	if err != nil {
		return fmt.Errorf("default network: %w", err)
	}
	s.bridge, s.o.binding = b, h.Binding
	delete(m.fixed, DefaultNetwork)
	m.home = s
	m.admit(s)
	return nil
}

// homeDefinition is the default network as the API has it.
func (m *Manager) homeDefinition(b *bridge.Bridge, six netip.Prefix) Definition {
	h := &m.o.Home
	binding := h.Binding
	if !binding.Is4() { // the option knows no other
		binding = netip.IPv4Unspecified()
	}
	d := Definition{
		Version: definitionVersion, ID: m.fixed[DefaultNetwork], Name: DefaultNetwork, Driver: DriverBridge, Created: m.created, IPv4: true,
		IPv6: h.IPv6, Subnets: []ipam.Subnet{homeSubnet(b.Address(), h.Range, h.Gateway)},
		Options: map[string]string{
			optDefault: "true", optICC: strconv.FormatBool(!h.NoICC), optMasquerade: strconv.FormatBool(!h.NoMasquerade),
			optBinding: binding.String(), optBridgeName: b.Name(), optMTU: strconv.Itoa(b.MTU()),
		},
	}
	if six.IsValid() {
		d.Subnets = append(d.Subnets, homeSubnet(six, h.Range6, h.Gateway6))
	}
	return d
}

// HostAddress is the IPv4 address by which a container with this result reaches the
// host: the bridge's on the first of its networks that has one, in the order in which
// they are ways out; or else, and for the zero Result, that on the default network. A
// gateway is not it: somebody may have named another, or it is a router of the host's
// own network.
func (m *Manager) HostAddress(r *Result) netip.Addr {
	for _, i := range r.order() {
		if s := m.segmentOf(&r.Endpoints[i]); s != nil && s.bridge != nil && s.bridge.Address().IsValid() {
			return s.bridge.Address().Addr()
		}
	}
	return m.home.bridge.Address().Addr()
}

func homeSubnet(address, part netip.Prefix, gateway netip.Addr) ipam.Subnet {
	s := ipam.Subnet{Prefix: address.Masked(), Gateway: address.Addr()}
	if part.IsValid() && part.Masked() != s.Prefix {
		s.Range = part.Masked()
	}
	if gateway.IsValid() && gateway != s.Gateway {
		aux := auxGateway4
		if gateway.Is6() {
			aux = auxGateway6
		}
		s.Aux = map[string]netip.Addr{aux: gateway}
	}
	return s
}

// around is the bridge's address where only the range of containers' addresses
// is known: the one it has, or the range's first.
func (m *Manager) around(part netip.Prefix) (netip.Prefix, error) {
	l, err := m.conn.Link(m.o.Bridge)
	if err != nil && !errdefs.IsNotFound(err) {
		return netip.Prefix{}, err
	}
	all, err := m.conn.Addrs()
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, a := range all {
		if l.Index != 0 && a.Index == l.Index && a.Prefix.Bits() <= part.Bits() && a.Prefix.Contains(part.Addr()) {
			return a.Prefix, nil
		}
	}
	return firstOf(part), nil
}

// firstOf is a network with its first host's address.
func firstOf(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits())
}

// homeSix is the bridge's IPv6 address: that which is asked for, or which it had
// when an engine last ran here, or a free one.
func (m *Manager) homeSix(path string) (netip.Prefix, error) {
	h := &m.o.Home
	if h.BIP6.IsValid() {
		return h.BIP6, nil
	}
	if h.Range6.IsValid() {
		return firstOf(h.Range6), nil
	}
	areas := m.o.Pools
	if !areas.HasSix() {
		areas = ipam.Areas{m.local}
	}
	if last := lastAddress(path); last.IsValid() && last.Addr().Is6() && areas.Contain(last.Masked()) {
		return last, nil
	}
	if err := m.host.Look(); err != nil {
		return netip.Prefix{}, err
	}
	defs, err := m.defs.load(func(string, error) {}) // load tells of it
	if err != nil {
		return netip.Prefix{}, err
	}
	others := &ipam.Taken{}
	for i := range defs {
		for _, s := range defs[i].Subnets {
			others.Add(s.Prefix)
		}
	}
	p, err := areas.Choose(true, others, &m.reached)
	if err != nil {
		return netip.Prefix{}, err
	}
	return firstOf(p), keepAddress(path, firstOf(p))
}

// lastAddress is what the bridge had when an engine last ran here; zero, if
// there is no such file or it makes no sense.
func lastAddress(path string) netip.Prefix {
	data, err := os.ReadFile(path)
	if err != nil {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(strings.TrimSpace(string(data)))
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// keepAddress writes what lastAddress reads.
func keepAddress(path string, p netip.Prefix) error {
	return os.WriteFile(path, []byte(p.String()+"\n"), 0o600)
}
