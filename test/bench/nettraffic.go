package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/test/engine"
)

// publish is a host configuration that publishes a port, such as 80/tcp.
func publish(hostPort, port string) *container.HostConfig {
	return &container.HostConfig{PortBindings: network.PortMap{
		network.MustParsePort(port): {{HostPort: hostPort}},
	}}
}

const iperfPort = 5201

// flow measures something for some seconds, and adds how much of it came in a
// second, and how much for a second of processors: where others keep those busy,
// only the latter says something.
func flow(r *report, name, goal, unit, target string, measure func() (perSecond float64, err error)) error {
	before, err := trafficCPU()
	if err != nil {
		return err
	}
	begin := time.Now()
	v, err := measure()
	if err != nil {
		return err
	}
	took := time.Since(begin).Seconds()
	after, err := trafficCPU()
	if err != nil {
		return err
	}
	r.add(benchCase{name: name + " " + goal, unit: unit + "/s"}, target, v)
	if spent := (after - before).Seconds(); spent > 0 {
		r.add(benchCase{name: name + ", for a second of processors " + goal, unit: unit}, target, v*took/spent)
	}
	return nil
}

// throughput measures iperf3 between containers and the host, beside the same
// on a host with a plain bridge and no rules; the goal is 95 %. What rules by hand
// come to says how much of the rest is the kernel's.
func throughput(ctx context.Context, o options, own *own, r *report) error {
	on, err := own.besidePlain(ctx, iperfPort, "tcp")
	if err != nil {
		return err
	}
	defer on.close()
	plain, hand, a, b, host := on.plain, on.hand, on.a, on.b, on.host
	for _, at := range []*place{plain.a, plain.host, hand.a, hand.host, a, host} {
		stop, err := iperfServer(ctx, at, iperfPort)
		if err != nil {
			return err
		}
		defer stop()
	}
	type side struct {
		target string
		from   *place
		to     string
		port   int
	}
	ways := []struct {
		name  string
		sides []side
	}{
		{"container to container", []side{
			{"plain bridge", plain.b, plain.a.address, iperfPort},
			{byHand, hand.b, hand.a.address, iperfPort},
			{own.name, b, a.address, iperfPort},
		}},
		{"container to host", []side{
			{"plain bridge", plain.b, plain.host.address, iperfPort},
			{byHand, hand.b, hand.host.address, iperfPort},
			{own.name, b, host.address, iperfPort},
		}},
		{"host to published port, 127.0.0.1", []side{
			{"plain bridge", plain.host, plain.a.address, iperfPort},
			{byHand, hand.host, "127.0.0.1", on.port},
			{own.name, host, "127.0.0.1", on.port},
		}},
	}
	for round := range o.n {
		for _, w := range ways {
			for _, s := range othersFirst(w.sides, round) {
				err := flow(r, "iperf3, "+w.name, "(goal: 0.95)", "Gbit", s.target, func() (float64, error) {
					return iperf(ctx, s.from, s.to, s.port, o.limits.seconds)
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// othersFirst lets another of all be the first in each round: who comes after what keeps
// the processors busy gets less of them on some machines.
func othersFirst[T any](all []T, round int) []T {
	first := round % len(all)
	return append(slices.Clone(all[first:]), all[:first]...)
}

// compared are the engine's containers and the same by hand: without rules, and
// with those that publish a port.
type compared struct {
	a, b, host  *place // the engine's
	plain, hand *plainHost
	port        int // of host, and of hand's, which leads to a
}

// besidePlain starts two containers, the first of which publishes its port to.
func (o *own) besidePlain(ctx context.Context, to int, protocol string) (_ *compared, err error) {
	on := &compared{}
	defer func() {
		if err != nil {
			on.close()
		}
	}()
	port, err := engine.FreePort()
	if err != nil {
		return nil, err
	}
	if on.port, err = strconv.Atoi(port); err != nil {
		return nil, err
	}
	if on.a, err = o.placeOf(ctx, "one", publish(port, fmt.Sprintf("%d/%s", to, protocol)), nil); err != nil {
		return nil, err
	}
	if on.b, err = o.placeOf(ctx, "two", nil, nil); err != nil {
		return nil, err
	}
	gateway, err := o.gateway(ctx)
	if err != nil {
		return nil, err
	}
	on.host = &place{address: gateway}
	mtu, err := on.a.mtu()
	if err != nil {
		return nil, err
	}
	if on.plain, err = newPlainHost(mtu); err != nil {
		return nil, err
	}
	on.hand, err = newHandHost(port, to, mtu)
	return on, err
}

func (on *compared) close() {
	for _, p := range []*place{on.a, on.b} {
		if p != nil {
			p.close()
		}
	}
	for _, h := range []*plainHost{on.plain, on.hand} {
		if h != nil {
			h.close()
		}
	}
}

// callIPTables has frames within a bridge pass the firewalls, where the module
// br_netfilter is loaded.
const callIPTables = "/proc/sys/net/bridge/bridge-nf-call-iptables"

// noBrNetfilter ends the names of cases that were measured without it.
const noBrNetfilter = ", no br_netfilter"

// withoutBrNetfilter measures with that switched off, and puts it back. Where it
// is off anyway, there is nothing to add.
func withoutBrNetfilter(measure limitRun) limitRun {
	return func(ctx context.Context, o options, own *own, r *report) (err error) {
		was, err := os.ReadFile(callIPTables)
		if errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(was)) == "0" {
			fmt.Fprintln(os.Stderr, "bench: frames within a bridge pass no firewall here, so the case before has measured that")
			return nil
		}
		if err == nil {
			err = os.WriteFile(callIPTables, []byte("0"), 0)
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.WriteFile(callIPTables, was, 0)) }()
		r.under = noBrNetfilter
		defer func() { r.under = "" }()
		return measure(ctx, o, own, r)
	}
}

// gateway is the host's address on the default network.
func (o *own) gateway(ctx context.Context) (string, error) {
	got, err := o.client.NetworkInspect(ctx, "bridge", networkInspect)
	if err != nil {
		return "", err
	}
	return got.Network.IPAM.Config[0].Gateway.String(), nil
}

// remoteHost is another machine: a namespace at the end of a cable.
func remoteHost() (remote *place, here string, undo func(), err error) {
	const name, ours, theirs = "bench-up0", "198.51.100.1", "198.51.100.2"
	conn, err := netlink.Open()
	if err != nil {
		return nil, "", nil, err
	}
	remote = &place{address: theirs}
	undo = func() {
		if l, err := conn.Link(name); err == nil {
			_ = conn.Delete(l.Index) // goes with the namespace anyway
		}
		remote.close()
		conn.Close()
	}
	defer func() {
		if err != nil {
			undo()
		}
	}()
	if remote.space, err = ns.NewNetNS(); err != nil {
		return remote, "", undo, err
	}
	if err = conn.AddVeth(netlink.Veth{Name: name, MTU: 1500, Peer: "eth0", PeerNS: remote.space}); err != nil {
		return remote, "", undo, err
	}
	link, err := conn.Link(name)
	if err != nil {
		return remote, "", undo, err
	}
	if err = conn.AddAddr(link.Index, netip.MustParsePrefix(ours+"/24")); err != nil {
		return remote, "", undo, err
	}
	return remote, ours, undo, remote.configure()
}

// bridgeAndRule is the target that publishes a port by hand.
const bridgeAndRule = "a bridge and one rule"

// requests measures HTTP requests a second from another machine to a server in
// a container, and to the same server on the host itself; the goal is 90 %. What
// a bridge and one rule by hand come to says how much of the rest is the kernel's.
func requests(policy string) func(context.Context, options, *own, *report) error {
	return func(ctx context.Context, o options, own *own, r *report) error {
		remote, here, undo, err := remoteHost()
		if err != nil {
			return err
		}
		defer undo()
		port, err := engine.FreePort()
		if err != nil {
			return err
		}
		a, err := own.placeOf(ctx, "one", publish(port, "80/tcp"), nil)
		if err != nil {
			return err
		}
		defer a.close()
		mtu, err := a.mtu()
		if err != nil {
			return err
		}
		plain, err := newPlainRouter(port, mtu)
		if err != nil {
			return err
		}
		defer plain.close()
		direct, end, err := serveHello(&place{}, a, plain.a)
		if err != nil {
			return err
		}
		defer end()
		type way struct {
			target, here, port string
			from               *place
		}
		ways := []way{
			{"no container", here, direct, remote}, {own.name, here, port, remote},
			{bridgeAndRule, plain.here, port, plain.remote},
		}
		for round := range o.n {
			for _, lasting := range []bool{true, false} {
				kind := "a connection for each"
				if lasting {
					kind = "lasting connections"
				}
				name := "HTTP requests from another machine, " + kind + ", publish-policy " + policy
				for _, way := range othersFirst(ways, round) {
					err := flow(r, name, "(goal: 0.90)", "", way.target, func() (float64, error) {
						return requestsOnce(ctx, way.from, "http://"+net.JoinHostPort(way.here, way.port)+"/", lasting, o.limits.seconds)
					})
					if err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
}

// serveHello answers HTTP requests on a port of the host, and on port 80 of
// containers, until end.
func serveHello(host *place, containers ...*place) (port string, end func(), err error) {
	var servers []*http.Server
	end = func() {
		for _, s := range servers {
			s.Close()
		}
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	for _, at := range append([]*place{host}, containers...) {
		address := ":80"
		if at == host {
			address = ":0"
		}
		l, err := at.listen(address)
		if err != nil {
			end()
			return "", nil, err
		}
		server := &http.Server{Handler: answer, ReadHeaderTimeout: time.Minute}
		servers = append(servers, server)
		go func() { _ = server.Serve(l) }() // until Close
		if at == host {
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
	}
	return port, end, nil
}

// clients is how many ask at once.
const clients = 16

// requestsOnce asks for some seconds, and tells how many were answered in each.
func requestsOnce(ctx context.Context, from *place, url string, lasting bool, seconds int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	dial := func(ctx context.Context, n, address string) (c net.Conn, err error) {
		err = from.do(func() error {
			c, err = (&net.Dialer{}).DialContext(ctx, n, address)
			return err
		})
		return c, err
	}
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	begin := time.Now()
	for range clients {
		wg.Go(func() {
			h := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: !lasting}}
			defer h.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := get(ctx, h, url); err != nil {
					if ctx.Err() == nil {
						errs <- err
					}
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	return float64(done.Load()) / time.Since(begin).Seconds(), nil
}

func get(ctx context.Context, h *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := h.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
