package compat

import "github.com/moby/moby/api/types/network"

// summary is a network in a list before API 1.52, which had an empty list of
// containers.
type summary struct {
	network.Network
	Containers map[string]network.EndpointResource
}

// Network lowers a network's description, that of one (full) or as part of a
// list.
func Network(v Version, n network.Inspect, full bool) any {
	if v.before(52) {
		n.Status = nil
	}
	switch {
	case full || v.before(28):
		return n
	case v.before(52):
		return summary{n.Network, map[string]network.EndpointResource{}}
	}
	return network.Summary{Network: n.Network}
}
