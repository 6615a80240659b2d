package network

import (
	"errors"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
)

// TestRepublish changes the ports of a container that runs: what stays is not
// touched, and a change that cannot be is none.
func TestRepublish(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("", 8080, 80), tcp("127.0.0.1", 0, 80))
	a.serve(80, "a")
	w.attach("b", tcp("", 9090, 80))
	chosen := a.r.Ports[len(a.r.Ports)-1].HostPort
	again := func(specs ...PortSpec) (Result, error) { return w.m.Republish(t.Context(), "a", a.ns, specs) }

	r, err := again(tcp("", 8080, 80), tcp("127.0.0.1", 0, 80), tcp("", 8081, 80))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Ports; !slices.ContainsFunc(got, func(p Row) bool { return p.HostPort == chosen }) {
		t.Errorf("the port that was chosen, %d, is no longer there: %v", chosen, bindings(r))
	}
	w.want(w.outside, "tcp", hostOutside+":8081", "a "+neighbour)
	w.want(nil, "tcp", "[::1]:8081", "a 172.17.0.1")
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)

	before := settled(t)
	_, err = again(tcp("", 8082, 80), tcp("", 9090, 80))
	if p, ok := errors.AsType[*PortError](err); !ok || !p.Allocated {
		t.Errorf("a port of another: %v", err)
	}
	w.sameAs(before)

	// The wildcard gives way to one address, and the others go.
	if r, err = again(tcp("127.0.0.1", 8080, 80)); err != nil {
		t.Fatal(err)
	}
	if got := bindings(r); len(got) != 1 {
		t.Errorf("%v", got)
	}
	w.want(nil, "tcp", "127.0.0.1:8080", "a 172.17.0.1")
	w.refused(w.outside, "tcp", hostOutside+":8080")
	w.refused(w.outside, "tcp", hostOutside+":8081")

	// The wildcard stands in the way of the other's port too: nothing changes,
	// though its own had to be let go for a moment.
	before = settled(t)
	if _, err = again(tcp("", 8080, 80), tcp("", 9090, 80)); err == nil {
		t.Error("a port of another was given")
	}
	w.sameAs(before)
	w.want(nil, "tcp", "127.0.0.1:8080", "a 172.17.0.1")

	if r, err = again(); err != nil || len(r.Ports) != 0 {
		t.Errorf("%v, %v", bindings(r), err)
	}
	if _, err := w.m.Republish(t.Context(), "nobody", a.ns, nil); !errdefs.IsNotFound(err) {
		t.Errorf("of nobody: %v", err)
	}
}
