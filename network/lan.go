package network

import (
	"context"
	"maps"
	"slices"

	"github.com/berth-engine/berth/network/lan"
	"github.com/berth-engine/berth/network/netns"
)

// Drivers whose networks are on a network of the host's.
const (
	DriverMacvlan = lan.Macvlan
	DriverIPvlan  = lan.IPvlan
)

// Options of such networks, by Docker's names.
const (
	optParent      = "parent"
	optMacvlanMode = "macvlan_mode"
	optIPvlanMode  = "ipvlan_mode"
	optIPvlanFlag  = "ipvlan_flag"
)

// lanOptions are the options of a macvlan or ipvlan network, read.
type lanOptions struct {
	parent     string
	alone      bool // nobody named a parent
	mode, flag string
	prefix     string // of containers' interfaces
	mtu        int    // 0: the parent's
}

// parseLAN reads the options of a macvlan or ipvlan network. One that nothing
// would heed is refused.
func parseLAN(d *Definition) (o lanOptions, err error) {
	o.prefix = "eth"
	for _, key := range slices.Sorted(maps.Keys(d.Options)) {
		value := d.Options[key]
		switch {
		case key == optParent:
			o.parent = value
		case key == optMacvlanMode && d.Driver == DriverMacvlan, key == optIPvlanMode && d.Driver == DriverIPvlan:
			o.mode = value
		case key == optIPvlanFlag && d.Driver == DriverIPvlan:
			o.flag = value
		case key == optMTU:
			if o.mtu, err = parseMTU(value); err != nil {
				return o, err
			}
		case key == optPrefix:
			o.prefix = value
			if err := checkLink(key, value+"0"); err != nil {
				return o, err
			}
		case key == optIPv4, key == optIPv6:
		default:
			return o, invalid("unknown option %q of driver %s", key, d.Driver)
		}
	}
	return o, o.complete(d)
}

// complete fills in what nobody said, as Docker does, and refuses what cannot
// be; the texts are Docker's.
func (o *lanOptions) complete(d *Definition) error {
	modes, fallback := []string{"bridge", "private", "vepa", "passthru"}, "bridge"
	if d.Driver == DriverIPvlan {
		modes, fallback = []string{"l2", "l3", "l3s"}, "l2"
		if o.flag == "" {
			o.flag = "bridge"
		}
		if !slices.Contains([]string{"bridge", "private", "vepa"}, o.flag) {
			return invalid("requested ipvlan flag '%s' is not valid, 'bridge' is the ipvlan driver default", o.flag)
		}
	}
	if o.mode == "" {
		o.mode = fallback
	}
	if !slices.Contains(modes, o.mode) {
		return invalid("requested %s mode '%s' is not valid, '%s' mode is the %s driver default", d.Driver, o.mode, fallback, d.Driver)
	}
	switch o.parent {
	case "":
		o.parent, o.alone = "dm-"+d.ID[:12], true
		return nil
	case "lo":
		return invalid("loopback interface is not a valid %s parent link", d.Driver)
	}
	return checkLink(optParent, o.parent)
}

// flat: there is no gateway; everything is behind the parent.
func (o *lanOptions) flat() bool { return o.mode == "l3" || o.mode == "l3s" }

// shared refuses a parent that another network has for itself; m.mu is held.
func (m *Manager) shared(s *segment) error {
	for _, other := range m.segments {
		if other == s || other.lan.parent != s.lan.parent || other.gone {
			continue
		}
		switch id := other.def.ID[:12]; {
		case s.def.Driver == DriverIPvlan && other.def.Driver == DriverIPvlan:
			return forbidden("network dm-%s is already using parent interface %s", id, s.lan.parent)
		case s.lan.mode == "passthru":
			return forbidden("cannot use mode passthru, %s network %s is already using parent interface %s", other.def.Driver, other.def.ID, s.lan.parent)
		case other.lan.mode == "passthru":
			return forbidden("%s network %s is already using parent interface %s in mode passthru", other.def.Driver, other.def.ID, s.lan.parent)
		}
	}
	return nil
}

// openLAN makes a macvlan or ipvlan network.
func (m *Manager) openLAN(s *segment) error {
	m.mu.Lock()
	err := m.shared(s)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	n, err := m.newLAN(s)
	if err != nil {
		return err
	}
	s.fabric = n
	return nil
}

func (m *Manager) newLAN(s *segment) (*lanFabric, error) {
	n, err := lan.Open(m.conn, lan.Options{
		Driver: s.def.Driver, Parent: s.lan.parent, Alone: s.lan.alone, Mode: s.lan.mode, Flag: s.lan.flag, MTU: s.lan.mtu, Owner: m.owner,
	})
	return &lanFabric{n, m, s}, err
}

// lanFabric is a macvlan or ipvlan network.
type lanFabric struct {
	*lan.Network
	m *Manager
	s *segment
}

func (f *lanFabric) join(_ context.Context, n *netns.Namespace, p *plan) (netns.Interface, error) {
	if !f.MAC() {
		if p.wish.MAC != nil {
			return netns.Interface{}, invalid("%s interfaces do not support custom mac address assignment in mode %s", f.s.def.Driver, f.s.lan.mode)
		}
		p.mac = nil
	}
	i, err := f.Connect(n, p.name, p.mac)
	if err != nil {
		return i, err
	}
	if p.mac == nil {
		p.e.MAC = i.MAC.String()
	}
	p.listens = f.Neighbours() && !f.s.named(true) && !f.s.inward()
	return i, nil
}

// leave has nothing to do: the interface goes with its namespace.
func (f *lanFabric) leave(context.Context, *netns.Namespace, *Endpoint) error { return nil }

func (f *lanFabric) remove(context.Context) error {
	f.m.mu.Lock()
	for _, other := range f.m.segments {
		if other != f.s && other.lan.parent == f.Parent() && !other.gone {
			f.m.mu.Unlock()
			return nil // it still needs the parent
		}
	}
	f.m.mu.Unlock()
	return f.Remove()
}

func (f *lanFabric) close() error { return f.Remove() }

// named tells whether somebody named the gateway of an address family.
func (s *segment) named(six bool) bool {
	for _, x := range s.def.subnets(six) {
		if x.Gateway.IsValid() && !x.Chosen {
			return true
		}
	}
	return false
}
