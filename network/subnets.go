package network

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/dns"
	"github.com/berth-engine/berth/network/ipam"
)

// choose completes the network's subnets: those nobody named are taken from the
// pools, free of what is on the host; gateways are the first addresses. It
// refuses what overlaps with another network, and warns of what overlaps with
// the host's own routes.
func (m *Manager) choose(d *Definition) (warning string, err error) {
	used, err := hostPrefixes(m.conn)
	if err != nil {
		return "", err
	}
	others := m.prefixes()
	for i := range d.Subnets {
		p := d.Subnets[i].Prefix
		if overlapsAny(p, others) {
			return "", forbidden("invalid pool request: Pool overlaps with other one on this address space")
		}
		if overlapsAny(p, used) && d.Driver == DriverBridge {
			warning = fmt.Sprintf("subnet %s overlaps with an address or a route of this host", p)
		}
	}
	for _, six := range []bool{false, true} {
		wanted := d.IPv4
		if six {
			wanted = d.IPv6
		}
		if !wanted || len(d.subnets(six)) > 0 {
			continue
		}
		areas := m.o.Pools
		if six && !areas.HasSix() {
			areas = ipam.Areas{m.local}
		}
		servers := dns.Host(true).Servers
		p, err := areas.Choose(six, func(p netip.Prefix) bool {
			return !overlapsAny(p, others) && !overlapsAny(p, used) && !slices.ContainsFunc(servers, p.Contains)
		})
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

// prefixes are the subnets of all networks.
func (m *Manager) prefixes() []netip.Prefix {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []netip.Prefix
	for _, s := range m.segments {
		if s.def.ConfigOnly {
			continue
		}
		for _, subnet := range s.def.Subnets {
			out = append(out, subnet.Prefix)
		}
	}
	return out
}

// hostPrefixes are what the host's addresses and routes reach, but for the
// default routes and what every link has.
func hostPrefixes(conn *netlink.Conn) ([]netip.Prefix, error) {
	addrs, err := conn.Addrs()
	if err != nil {
		return nil, err
	}
	routes, err := conn.Routes()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	add := func(p netip.Prefix) {
		if p.Bits() > 0 && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback() {
			out = append(out, p.Masked())
		}
	}
	for _, a := range addrs {
		add(a.Prefix)
	}
	for _, r := range routes {
		add(r.To)
	}
	return out, nil
}

func overlapsAny(p netip.Prefix, others []netip.Prefix) bool {
	return slices.ContainsFunc(others, p.Overlaps)
}

// localArea is this engine's part of the unique local addresses, the same from
// one run to the next.
func localArea(dir string) (ipam.Area, error) {
	path := filepath.Join(dir, "ula")
	data, err := os.ReadFile(path)
	if err == nil {
		p, err := netip.ParsePrefix(strings.TrimSpace(string(data)))
		if a := (ipam.Area{Base: p, Bits: 64}); err == nil && a.Check() == nil && p.Bits() == 48 {
			return a, nil
		}
	} else if !os.IsNotExist(err) {
		return ipam.Area{}, err
	}
	a := ipam.LocalArea()
	return a, os.WriteFile(path, []byte(a.Base.String()+"\n"), 0o600)
}
