package network

import (
	"net/netip"
	"sync"

	"github.com/berth-engine/berth/kernel/netlink"
)

// maxGone is how many addresses are remembered at most until conntrack's table is
// looked through.
const maxGone = 4096

// flows sees to it that nobody inherits connections with an address. Conntrack
// knows those of a container that is gone for as long as its peer sends, and what
// belongs to a connection passes the firewall: the peer would reach the next one
// that has the address, at a port that nobody published. To look through the table
// costs more the more connections the host has, so it is done when an address is
// used again, for all that are gone, and not when a container ends.
type flows struct {
	mu sync.Mutex
	// gone are addresses that somebody had.
	gone map[netip.Addr]struct{}
	// found are those that had connections when this engine came; of some, somebody
	// else may have them.
	found map[netip.Addr]struct{}
}

// look notes which addresses have connections, of those that are ours.
func (f *flows) look(ours func(netip.Addr) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone, f.found = map[netip.Addr]struct{}{}, map[netip.Addr]struct{}{}
	return netlink.EachFlow(func(flow netlink.Flow) {
		for _, a := range flow {
			if ours(a) {
				f.found[a] = struct{}{}
			}
		}
	})
}

// left notes that somebody gave addresses back.
func (f *flows) left(addresses []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range addresses {
		f.gone[p.Addr()] = struct{}{}
	}
	if len(f.gone) > maxGone {
		return f.end()
	}
	return nil
}

// taken ends what addresses are known by from before; they are about to be used.
func (f *flows) taken(addresses []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	used := false
	for _, p := range addresses {
		a := p.Addr()
		if _, found := f.found[a]; found {
			f.gone[a] = struct{}{}
		}
		_, gone := f.gone[a]
		used = used || gone
	}
	if !used {
		return nil
	}
	return f.end()
}

// end ends the connections of all that are gone; f.mu is held.
func (f *flows) end() error {
	err := netlink.EndFlows(func(flow netlink.Flow) bool {
		for _, a := range flow {
			if _, gone := f.gone[a]; gone {
				return true
			}
		}
		return false
	})
	if err != nil {
		return err // they are remembered
	}
	for a := range f.gone {
		delete(f.found, a)
	}
	clear(f.gone)
	return nil
}

// ours tells whether an address belongs to one of the networks. m.mu is held,
// except in New.
func (m *Manager) ours(a netip.Addr) bool {
	_, overlaps := m.subnets.Overlap(netip.PrefixFrom(a, a.BitLen()))
	return overlaps
}
