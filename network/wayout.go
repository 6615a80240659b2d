package network

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-engine/berth/network/netns"
)

// Gateways orders the endpoints by who is the way out: the highest priority
// first, then by the network's name. It returns the first that leads out for
// IPv4, and for IPv6; -1: none does.
func (r *Result) Gateways() (four, six int) {
	four, six = -1, -1
	for _, i := range r.order() {
		e := &r.Endpoints[i]
		if four < 0 && (e.Gateway.IsValid() || e.OnLink && e.IPv4.IsValid()) {
			four = i
		}
		if six < 0 && (e.Gateway6.IsValid() || e.OnLink && e.IPv6.IsValid()) {
			six = i
		}
	}
	return four, six
}

func (r *Result) order() []int {
	order := make([]int, len(r.Endpoints))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := &r.Endpoints[a], &r.Endpoints[b]
		if x.Priority != y.Priority {
			return y.Priority - x.Priority
		}
		return strings.Compare(x.Network, y.Network)
	})
	return order
}

// routes are the default routes that a result wants; link finds interfaces.
func (r *Result) routes(link func(name string) (netns.Interface, error)) ([]netns.Gateway, error) {
	var out []netns.Gateway
	four, six := r.Gateways()
	add := func(i int, via netip.Addr, six bool) error {
		l, err := link(r.Endpoints[i].Interface)
		out = append(out, netns.Gateway{Interface: l, Via: via, Six: six})
		return err
	}
	var err error
	if four >= 0 {
		err = add(four, r.Endpoints[four].Gateway, false)
	}
	if six >= 0 {
		err = errors.Join(err, add(six, r.Endpoints[six].Gateway6, true))
	}
	return out, err
}

// exits are the endpoints that are ways out.
func (r *Result) exits() []*Endpoint {
	var out []*Endpoint
	four, six := r.Gateways()
	for i := range r.Endpoints {
		if i == four || i == six {
			out = append(out, &r.Endpoints[i])
		}
	}
	return out
}

// exit tells whether an endpoint is, or was in another result, a way out.
func (r *Result) exit(e *Endpoint) bool {
	return slices.ContainsFunc(r.exits(), func(x *Endpoint) bool { return x.EndpointID == e.EndpointID })
}
