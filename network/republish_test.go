package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
)

// TestRepublish changes the ports of a container that runs: what stays is not
// touched, and a change that cannot be is none.
func TestRepublish(t *testing.T) {
	w := newWorld(t)
	a := w.join("a", Desired{Ports: []PortSpec{tcp("", 8080, 80), tcp("127.0.0.1", 0, 80)}})
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
	if p, ok := errors.AsType[*PortError](err); !ok || !p.Allocated || p.Name != "a" {
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

// TestCompare: what stays, what goes and what is to come, of a few ports.
func TestCompare(t *testing.T) {
	four, six, one := netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("127.0.0.1")
	at := func(ip netip.Addr, host, container uint16) PortBinding {
		return PortBinding{HostIP: ip, HostPort: host, ContainerPort: container, Proto: "tcp"}
	}
	text := func(ports []PortBinding) string {
		var words []string
		for _, p := range ports {
			words = append(words, fmt.Sprintf("%v:%d:%d/%s", p.HostIP, p.HostPort, p.ContainerPort, p.Proto))
		}
		return strings.Join(words, " ")
	}
	wild := []PortBinding{at(four, 8080, 80), at(six, 8080, 80)}
	for name, c := range map[string]struct {
		have          []PortBinding
		specs         []PortSpec
		kept, dropped []PortBinding
		fresh         []PortSpec
	}{
		"the wildcard in both families": {have: wild, specs: []PortSpec{tcp("", 8080, 80)}, kept: wild},
		"the wildcard, for any port":    {have: wild, specs: []PortSpec{tcp("", 0, 80)}, kept: wild},
		"the wildcard of one family": {
			have: wild, specs: []PortSpec{tcp("0.0.0.0", 8080, 80)}, kept: wild[:1], dropped: wild[1:],
		},
		"two of the same": {
			have: wild, specs: []PortSpec{tcp("", 8080, 80), tcp("", 8080, 80)}, kept: wild, fresh: []PortSpec{tcp("", 8080, 80)},
		},
		"two that were chosen": {
			have: []PortBinding{at(four, 40000, 80), at(six, 40000, 80), at(four, 40001, 80), at(six, 40001, 80)}, specs: []PortSpec{tcp("", 0, 80), tcp("", 0, 80)},
			kept: []PortBinding{at(four, 40000, 80), at(six, 40000, 80), at(four, 40001, 80), at(six, 40001, 80)},
		},
		"one of a range": {
			have: []PortBinding{at(one, 8003, 80)}, specs: []PortSpec{{HostIP: one, HostPort: 8000, HostPortEnd: 8002, ContainerPort: 80, Proto: "tcp"}, {HostIP: one, HostPort: 8002, HostPortEnd: 8003, ContainerPort: 80, Proto: "tcp"}},
			kept: []PortBinding{at(one, 8003, 80)}, fresh: []PortSpec{{HostIP: one, HostPort: 8000, HostPortEnd: 8002, ContainerPort: 80, Proto: "tcp"}},
		},
		"another port, protocol and address": {
			have: []PortBinding{at(one, 1, 80), at(one, 2, 81), at(four, 3, 82)}, specs: []PortSpec{tcp("127.0.0.1", 2, 80), {HostIP: one, HostPort: 2, ContainerPort: 81, Proto: "udp"}, tcp("127.0.0.1", 3, 82)},
			dropped: []PortBinding{at(one, 1, 80), at(one, 2, 81), at(four, 3, 82)},
			fresh:   []PortSpec{tcp("127.0.0.1", 2, 80), {HostIP: one, HostPort: 2, ContainerPort: 81, Proto: "udp"}, tcp("127.0.0.1", 3, 82)},
		},
	} {
		kept, dropped, fresh := compare(c.have, c.specs)
		if text(kept) != text(c.kept) || text(dropped) != text(c.dropped) || !slices.Equal(fresh, c.fresh) {
			t.Errorf("%s: %s stay, %s go, %v are to come", name, text(kept), text(dropped), fresh)
		}
	}
}

// TestRepublishRange: a range that grows, shrinks and is cut in two stays what
// the firewall has, and what others have is not touched.
func TestRepublishRange(t *testing.T) {
	var anew atomic.Bool
	w := newWorld(t, func(o *Options) { o.Log = slog.New(heard{said: &anew, what: "change published ports"}) })
	a := w.attach("a", udpRange(10000, 12000)...)
	b := w.attach("b", udpRange(20000, 21000)...)
	b.serveUDP(20500, "b")
	for _, n := range []int{10000, 11000, 12000, 12001} {
		a.serveUDP(n, fmt.Sprint(n))
	}
	for _, step := range []struct {
		name   string
		specs  []PortSpec
		open   []int
		closed []int
	}{
		{"one more", udpRange(10000, 12001), []int{10000, 11000, 12000, 12001}, nil},
		{"fewer", udpRange(10000, 11500), []int{10000, 11000}, []int{12000, 12001}},
		{"cut in two", slices.Concat(udpRange(10000, 10900), udpRange(11001, 12001)), []int{10000, 12000, 12001}, []int{11000}},
		{"as at first", udpRange(10000, 12000), []int{10000, 11000, 12000}, []int{12001}},
	} {
		t.Run(step.name, func(t *testing.T) {
			r, err := w.m.Republish(t.Context(), "a", a.ns, step.specs)
			if err != nil {
				t.Fatal(err)
			}
			ports := map[uint16]bool{}
			for p := range r.Ports.All() {
				ports[p.HostPort] = true
			}
			if len(ports) != len(step.specs) {
				t.Errorf("%d ports, want %d", len(ports), len(step.specs))
			}
			for _, n := range step.open {
				w.want(w.outside, "udp", fmt.Sprintf("%s:%d", hostOutside, n), fmt.Sprintf("%d hello", n))
			}
			for _, n := range step.closed {
				w.refused(w.outside, "udp", fmt.Sprintf("%s:%d", hostOutside, n))
			}
			w.want(w.outside, "udp", hostOutside+":20500", "b hello")
			if anew.Load() {
				t.Error("the table was made anew")
			}
		})
	}
}

// heard is a log that remembers whether something was said.
type heard struct {
	what string
	said *atomic.Bool
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.what {
		h.said.Store(true)
	}
	return nil
}

func (h heard) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h heard) WithGroup(string) slog.Handler      { return h }
