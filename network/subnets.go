package network

import (
	"fmt"
	"net/netip"

	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/dns"
	"github.com/berth-engine/berth/network/ipam"
)

// choose completes the network's subnets: those nobody named are taken from the
// pools, free of what is on the host; gateways are the first addresses. It
// refuses what overlaps with another network, and warns of what overlaps with
// the host's own routes.
func (m *Manager) choose(d *Definition) (warning string, err error) {
	if err := m.host.Look(); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range d.Subnets {
		p := d.Subnets[i].Prefix
		if _, ok := m.subnets.Overlap(p); ok {
			return "", forbidden("invalid pool request: Pool overlaps with other one on this address space")
		}
		if _, ok := m.reached.Overlap(p); ok && d.Driver == DriverBridge {
			warning = fmt.Sprintf("subnet %s overlaps with an address or a route of this host", p)
		}
	}
	for _, six := range []bool{false, true} {
		wanted := d.IPv4
		if six {
			wanted = d.IPv6
		}
		if !wanted || len(d.subnets(six)) > 0 || d.Driver == DriverCNI {
			continue
		}
		areas := m.o.Pools
		if six && !areas.HasSix() {
			areas = ipam.Areas{m.local}
		}
		servers := &ipam.Taken{}
		for _, server := range dns.Host(true).Servers {
			servers.Add(netip.PrefixFrom(server, server.BitLen()))
		}
		p, err := areas.Choose(six, &m.subnets, &m.reached, servers)
		if err != nil {
			return "", err
		}
		d.Subnets = append(d.Subnets, ipam.Subnet{Prefix: p})
	}
	if gateless, err := d.gateless(); err != nil || gateless {
		return warning, err
	}
	for i := range d.Subnets {
		s := &d.Subnets[i]
		if s.Gateway.IsValid() {
			continue
		}
		s.Chosen = true
		if s.Gateway, err = s.FirstGateway(); err != nil {
			return "", err
		}
	}
	return warning, nil
}

// gateless tells whether no address is kept for a gateway, as in Docker.
func (d *Definition) gateless() (bool, error) {
	switch d.Driver {
	case DriverMacvlan, DriverIPvlan:
		o, err := parseLAN(d)
		return d.Internal || o.alone || o.flat(), err
	}
	return false, nil
}

// noteHost remembers what the host's addresses and routes reach, but for what
// every link has; m.making is held, except in New.
func (m *Manager) noteHost(p netip.Prefix, reached bool) {
	switch {
	case p.Addr().IsLinkLocalUnicast() || p.Addr().IsLoopback() || p.Addr().IsMulticast():
	case reached:
		m.reached.Add(p)
	default:
		m.reached.Remove(p)
	}
}

// uplinkMTU is that of the way to the outside, at most Ethernet's; m.making is
// held, except in New.
func (m *Manager) uplinkMTU() (int, error) {
	if err := m.host.Look(); err != nil {
		return 0, err
	}
	return bridge.UplinkMTU(m.conn, m.host.Defaults())
}
