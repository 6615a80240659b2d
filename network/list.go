package network

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	nettypes "github.com/moby/moby/api/types/network"
)

// List returns the networks that a filter selects, by name.
func (m *Manager) List(f Filters) ([]nettypes.Network, error) {
	if err := f.check("dangling", "driver", "id", "label", "label!", "name", "scope", "type"); err != nil {
		return nil, err
	}
	dangling, byUse, err := f.boolean("dangling")
	if err != nil {
		return nil, err
	}
	for kind := range f["type"] {
		if kind != "custom" && kind != "builtin" {
			return nil, invalid("invalid filter: 'type'='%s'", kind)
		}
	}
	names, ids := f.patterns("name"), f.patterns("id")
	out := []nettypes.Network{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.views() {
		kind := "custom"
		if predefined[v.Name] {
			kind = "builtin"
		}
		s := m.segments[v.ID]
		inUse := s == nil || !s.userDefined() || s.users > 0
		if f.one("driver", v.Driver) && f.one("scope", v.Scope) && f.one("type", kind) && matches(names, v.Name) &&
			matches(ids, v.ID) && f.labels(v.Labels) && (!byUse || dangling != inUse) {
			out = append(out, v)
		}
	}
	return out, nil
}

// views are all networks as the API has them; m.mu is held.
func (m *Manager) views() []nettypes.Network {
	var out []nettypes.Network
	for _, s := range m.segments {
		out = append(out, s.view())
	}
	for _, name := range []string{"host", "none"} {
		out = append(out, m.fixedView(name))
	}
	slices.SortFunc(out, func(a, b nettypes.Network) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// view is a network as the API has it.
func (s *segment) view() nettypes.Network {
	d := &s.def
	n := nettypes.Network{
		Name: d.Name, ID: d.ID, Created: d.Created, Scope: "local", Driver: d.Driver, EnableIPv4: d.IPv4, EnableIPv6: d.IPv6,
		Internal: d.Internal, Attachable: d.Attachable, ConfigOnly: d.ConfigOnly,
		ConfigFrom: nettypes.ConfigReference{Network: d.ConfigFrom},
		Options:    orEmpty(d.Options), Labels: orEmpty(d.Labels),
		IPAM: nettypes.IPAM{Driver: d.IPAMDriver, Options: maps.Clone(d.IPAMOpts), Config: []nettypes.IPAMConfig{}},
	}
	if n.IPAM.Driver == "" {
		n.IPAM.Driver = "default"
	}
	if d.ConfigOnly {
		n.Driver = "null" // as with Docker: nobody can be on it
	}
	// Who reads the first one wants the IPv4 subnet, in whatever order the
	// client sent them (the docker command's order is by chance).
	for _, x := range slices.Concat(d.subnets(false), d.subnets(true)) {
		n.IPAM.Config = append(n.IPAM.Config, nettypes.IPAMConfig{Subnet: x.Prefix, IPRange: x.Range, Gateway: x.Gateway, AuxAddress: maps.Clone(x.Aux)})
	}
	return n
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

// fixedView is a network that is no more than a name.
func (m *Manager) fixedView(name string) nettypes.Network {
	driver := name
	if name == "none" {
		driver = "null"
	}
	return nettypes.Network{
		Name: name, ID: m.fixed[name], Created: m.created, Scope: "local", Driver: driver, EnableIPv4: true,
		Options: map[string]string{}, Labels: map[string]string{},
		IPAM: nettypes.IPAM{Driver: "default", Config: []nettypes.IPAMConfig{}},
	}
}

// Inspect describes one network and who is on it.
func (m *Manager) Inspect(ref string) (nettypes.Inspect, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := nettypes.Inspect{Containers: map[string]nettypes.EndpointResource{}}
	if name := m.fixedName(ref); name != "" {
		out.Network = m.fixedView(name)
		return out, nil
	}
	s, err := m.find(ref)
	if err != nil {
		return out, err
	}
	out.Network = s.view()
	for id, a := range m.attached {
		for i := range a.result.Endpoints {
			if e := &a.result.Endpoints[i]; e.NetworkID == s.def.ID {
				out.Containers[id] = e.resource(a.result.Name)
			}
		}
	}
	if len(s.pools) > 0 {
		out.Status = &nettypes.Status{IPAM: nettypes.IPAMStatus{Subnets: map[netip.Prefix]nettypes.SubnetStatus{}}}
		for _, p := range s.pools {
			used, free := p.Counts()
			out.Status.IPAM.Subnets[p.Subnet().Prefix] = nettypes.SubnetStatus{IPsInUse: used, DynamicIPsAvailable: free}
		}
	}
	return out, nil
}

func (e *Endpoint) resource(name string) nettypes.EndpointResource {
	mac, _ := net.ParseMAC(e.MAC) // our own
	return nettypes.EndpointResource{Name: name, EndpointID: e.EndpointID, MacAddress: nettypes.HardwareAddr(mac), IPv4Address: e.IPv4, IPv6Address: e.IPv6}
}

// Identify returns the name and the ID of the network that a name, an ID or the
// beginning of one stands for; ok: there is one.
func (m *Manager) Identify(ref string) (name, id string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name := m.fixedName(ref); name != "" {
		return name, m.fixed[name], true
	}
	s, err := m.find(ref)
	if err != nil {
		return "", "", false
	}
	return s.def.Name, s.def.ID, true
}

// fixedName is the name of one of the networks that are no more than that;
// "" for others. m.mu is held.
func (m *Manager) fixedName(ref string) string {
	if _, ok := m.fixed[ref]; ok {
		return ref
	}
	if m.names[ref] != nil || m.segments[ref] != nil || len(m.begins(ref)) != 1 {
		return ""
	}
	for name, id := range m.fixed {
		if strings.HasPrefix(id, ref) {
			return name
		}
	}
	return ""
}

// begins are the ids that begin like this, of networks of all kinds; m.mu is
// held.
func (m *Manager) begins(ref string) []string {
	if ref == "" {
		return nil
	}
	var out []string
	for id := range m.segments {
		if strings.HasPrefix(id, ref) {
			out = append(out, id)
		}
	}
	for _, id := range m.fixed {
		if strings.HasPrefix(id, ref) {
			out = append(out, id)
		}
	}
	return out
}

// unused are networks that a prune with these filters removes.
func (m *Manager) unused(f Filters) ([]nettypes.Network, error) {
	if err := f.check("label", "label!", "until"); err != nil {
		return nil, err
	}
	until, bounded, err := f.until()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []nettypes.Network
	for _, v := range m.views() {
		s := m.segments[v.ID]
		// As with Docker, a configuration is there to be used later.
		if s == nil || s.def.ConfigOnly || m.removable(s) != nil || !f.labels(v.Labels) || bounded && v.Created.After(until) {
			continue
		}
		out = append(out, v)
	}
	return out, nil
}

// WouldPrune returns what PruneUnused with the same filters would remove.
func (m *Manager) WouldPrune(f Filters) (nettypes.PruneReport, error) {
	report := nettypes.PruneReport{NetworksDeleted: []string{}}
	list, err := m.unused(f)
	for i := range list {
		report.NetworksDeleted = append(report.NetworksDeleted, list[i].Name)
	}
	return report, err
}
