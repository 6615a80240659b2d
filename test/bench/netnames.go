package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/kernel/netlink"
)

var networkInspect = client.NetworkInspectOptions{}

// Sizes of the questions about names.
const (
	askers   = 32   // at once
	each     = 2000 // questions of each
	outside  = 400  // questions for each figure of the outside
	silent   = "192.0.2.53"
	alive    = "192.0.2.54"
	resolver = "127.0.0.11:53"
)

// names asks the resolver of a container: for a neighbour, as fast as it can,
// and for names of the outside, with one of two servers silent.
func names(ctx context.Context, o options, own *own, r *report) error {
	if _, err := own.client.NetworkCreate(ctx, "mesh", client.NetworkCreateOptions{}); err != nil {
		return err
	}
	defer func() { _, _ = own.client.NetworkRemove(ctx, "mesh", client.NetworkRemoveOptions{}) }() // in use: it goes with the engine
	undo, err := servers()
	if err != nil {
		return err
	}
	defer undo()
	dns := []netip.Addr{netip.MustParseAddr(silent), netip.MustParseAddr(alive)}
	on := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{"mesh": {}}}
	host := &container.HostConfig{DNS: dns, NetworkMode: "mesh"}
	for _, name := range []string{"web", "asks"} {
		p, err := own.placeOf(ctx, name, host, on)
		if err != nil {
			return err
		}
		defer p.close()
		if name == "web" {
			continue
		}
		if err := namesInside(p, o, own, r); err != nil {
			return err
		}
		if err := namesOutside(p, o, own, r); err != nil {
			return err
		}
	}
	return nil
}

// servers are two of the outside: one that hears and says nothing, and one that
// answers.
func servers() (undo func(), err error) {
	conn, err := netlink.Open()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, a := range []string{silent, alive} {
		if err := conn.AddAddr(netlink.LoopbackIndex, netip.MustParsePrefix(a+"/32")); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	dead, err := net.ListenPacket("udp4", silent+":53")
	if err != nil {
		return nil, err
	}
	l, err := net.ListenPacket("udp4", alive+":53")
	if err != nil {
		dead.Close()
		return nil, err
	}
	server := &mdns.Server{PacketConn: l, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg)
		m.SetReply(q)
		m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 1}, A: net.IP{192, 0, 2, 1}}}
		_ = w.WriteMsg(m) // who asked asks again
	})}
	go func() { _ = server.ActivateAndServe() }() // until the socket is closed
	return func() {
		dead.Close()
		l.Close()
	}, nil
}

// namesInside tells how many questions one processor would answer in a second,
// by berth-netd's own time on processors.
func namesInside(p *place, o options, own *own, r *report) error {
	pid, err := own.netd()
	if err != nil {
		return err
	}
	c := benchCase{name: "questions about a container, for each second of berth-netd on a processor (goal: 20000)", unit: "/s"}
	for range min(o.n, 5) {
		before, err := cpu(pid)
		if err != nil {
			return err
		}
		if err := askAll(p); err != nil {
			return err
		}
		after, err := cpu(pid)
		if err != nil {
			return err
		}
		r.add(c, own.name, askers*each/max(after-before, 0.01))
	}
	return nil
}

func askAll(p *place) error {
	var wg sync.WaitGroup
	errs := make(chan error, askers)
	for range askers {
		wg.Go(func() {
			for range each / 100 { // a socket for each hundred
				if _, err := ask(p, slices.Repeat([]string{"web."}, 100)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// namesOutside tells the slowest of a hundred answers while the first of two
// servers is silent.
func namesOutside(p *place, o options, own *own, r *report) error {
	p99 := benchCase{name: fmt.Sprintf("p99 of %d questions to the outside, the first of two servers silent (goal: 60 ms)", outside), unit: "ms"}
	for i := range min(o.n, 5) {
		var list []string
		for k := range outside {
			list = append(list, fmt.Sprintf("name%d-%d.example.", i, k))
		}
		took, err := ask(p, list)
		if err != nil {
			return err
		}
		slices.Sort(took)
		r.add(p99, own.name, quantile(took, 0.99))
	}
	return nil
}

// ask puts questions one after the other, and tells how long each took, in ms.
func ask(p *place, names []string) ([]float64, error) {
	var c net.Conn
	err := p.do(func() (err error) {
		c, err = net.Dial("udp4", resolver)
		return err
	})
	if err != nil {
		return nil, err
	}
	conn := &mdns.Conn{Conn: c}
	defer conn.Close()
	var took []float64
	for _, name := range names {
		q := new(mdns.Msg)
		q.SetQuestion(name, mdns.TypeA)
		ms, err := timed(func() error {
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				return err
			}
			if err := conn.WriteMsg(q); err != nil {
				return err
			}
			a, err := conn.ReadMsg()
			if err == nil && (a.Rcode != mdns.RcodeSuccess || len(a.Answer) == 0) {
				err = fmt.Errorf("%s: %s", name, mdns.RcodeToString[a.Rcode])
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		took = append(took, ms)
	}
	return took, nil
}

// netd finds the process of the engine's berth-netd.
func (o *own) netd() (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil && strings.Contains(string(cmdline), o.daemon.ExecRoot()+"/netd.sock") {
			return pid, nil
		}
	}
	return 0, errors.New("no berth-netd runs")
}

// cpu is a process's time on processors, in seconds.
func cpu(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.ParseFloat(f[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100, err // USER_HZ
}
