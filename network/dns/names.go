package dns

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Record is the names of one endpoint on one network.
type Record struct {
	Network     string       `json:"network"`      // id
	NetworkName string       `json:"network_name"` // "web.mynet" is "web" there
	Endpoint    string       `json:"endpoint"`     // id
	Names       []string     `json:"names"`        // the first is what addresses lead back to
	Addresses   []netip.Addr `json:"addresses"`
}

// Names knows who is called what on which network. It is safe for concurrent
// use; the zero value is empty.
type Names struct {
	mu    sync.RWMutex
	zones map[string]*zone // by network's id
}

// zone is one network.
type zone struct {
	name    string
	records map[string]*Record   // by endpoint
	byName  map[string][]*Record // in the order in which they came
	byAddr  map[netip.Addr]*Record
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Set puts an endpoint's names in the place of those it had.
func (n *Names) Set(r Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(r.Network, r.Endpoint)
	if n.zones == nil {
		n.zones = map[string]*zone{}
	}
	z := n.zones[r.Network]
	if z == nil {
		z = &zone{records: map[string]*Record{}, byName: map[string][]*Record{}, byAddr: map[netip.Addr]*Record{}}
		n.zones[r.Network] = z
	}
	z.name = canonical(r.NetworkName)
	z.records[r.Endpoint] = &r
	for _, name := range unique(r.Names) {
		z.byName[name] = append(z.byName[name], &r)
	}
	for _, a := range r.Addresses {
		z.byAddr[a.Unmap()] = &r
	}
}

func unique(names []string) []string {
	var out []string
	for _, name := range names {
		if name = canonical(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// Drop forgets an endpoint.
func (n *Names) Drop(network, endpoint string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(network, endpoint)
}

func (n *Names) drop(network, endpoint string) {
	z := n.zones[network]
	if z == nil || z.records[endpoint] == nil {
		return
	}
	r := z.records[endpoint]
	delete(z.records, endpoint)
	for _, name := range unique(r.Names) {
		// In place: readers hold the slice no longer than the lock.
		z.byName[name] = slices.DeleteFunc(z.byName[name], func(x *Record) bool { return x == r })
		if len(z.byName[name]) == 0 {
			delete(z.byName, name)
		}
	}
	for _, a := range r.Addresses {
		if z.byAddr[a.Unmap()] == r {
			delete(z.byAddr, a.Unmap())
		}
	}
	if len(z.records) == 0 {
		delete(n.zones, network)
	}
}

// All returns every record, in no order.
func (n *Names) All() []Record {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var out []Record
	for _, z := range n.zones {
		for _, r := range z.records {
			out = append(out, *r)
		}
	}
	return out
}

// lookup returns the addresses of a name on the first of the networks that has
// it, and whether one has.
func (n *Names) lookup(networks []string, name string) ([]netip.Addr, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, id := range networks {
		if z := n.zones[id]; z != nil {
			if found := z.byName[name]; len(found) > 0 {
				return addresses(found), true
			}
		}
	}
	// The end of a name may be a network's: "web.mynet".
	for i := strings.IndexByte(name, '.'); i >= 0; {
		for _, id := range networks {
			if z := n.zones[id]; z != nil && z.name == name[i+1:] {
				if found := z.byName[name[:i]]; len(found) > 0 {
					return addresses(found), true
				}
			}
		}
		next := strings.IndexByte(name[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return nil, false
}

func addresses(records []*Record) []netip.Addr {
	var out []netip.Addr
	for _, r := range records {
		out = append(out, r.Addresses...)
	}
	return out
}

// reverse returns the name of an address, with its network's.
func (n *Names) reverse(networks []string, a netip.Addr) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, id := range networks {
		if z := n.zones[id]; z != nil {
			if r := z.byAddr[a]; r != nil && len(r.Names) > 0 {
				return r.Names[0] + "." + r.NetworkName, true
			}
		}
	}
	return "", false
}
