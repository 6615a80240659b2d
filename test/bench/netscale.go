package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/test/leak"
)

// networkedStarts measures the start of a container on a network of its user,
// with a published port, beside 1, 100 and 500 that run, and of one without a
// network at the same moments.
func networkedStarts(ctx context.Context, o options, own *own, r *report) error {
	if _, err := own.client.NetworkCreate(ctx, "mesh", client.NetworkCreateOptions{}); err != nil {
		return err
	}
	runs := 0
	for _, beside := range o.limits.beside {
		for ; runs < beside; runs++ {
			if _, err := own.started(ctx, "mesh", nil); err != nil {
				return err
			}
		}
		c := benchCase{name: fmt.Sprintf("start beside %d running", beside), unit: "ms"}
		for range max(o.n, someStarts) {
			for _, kind := range []string{"none", "mesh"} {
				var ports network.PortMap
				target := "no network"
				if kind == "mesh" {
					ports = network.PortMap{network.MustParsePort("80/tcp"): {{HostPort: ""}}}
					target = "a network and a port"
				}
				var id string
				ms, err := timed(func() (err error) {
					id, err = own.started(ctx, kind, ports)
					return err
				})
				if err == nil {
					_, err = own.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
				}
				if err != nil {
					return err
				}
				r.add(c, target, ms)
			}
		}
	}
	return nil
}

// started creates and starts a container.
func (o *own) started(ctx context.Context, mode string, ports network.PortMap) (string, error) {
	created, err := o.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: o.image, Cmd: []string{"sleep", "1000000"}},
		HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(mode), PortBindings: ports},
	})
	if err != nil {
		return "", err
	}
	_, err = o.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{})
	return created.ID, err
}

// manyPorts publishes ten thousand ports of a container at once.
func manyPorts(ctx context.Context, o options, own *own, r *report) error {
	took := benchCase{name: "start with -p 10000-20000:10000-20000/udp, beyond a start without (goal: 100 ms)", unit: "ms"}
	grown := benchCase{name: "memory of -p 10000-20000:10000-20000/udp (PSS of all of Berth; goal: 2 MB)", unit: "MB"}
	var plain []float64
	once := func(args ...string) (ms, mb float64, err error) {
		before, err := enginePSS()
		if err != nil {
			return 0, 0, err
		}
		all := append(append([]string{"create", "--name", "ports"}, args...), own.image, "sleep", "1000000")
		if err := own.command(ctx, own.cli, all...); err != nil {
			return 0, 0, err
		}
		if ms, err = timed(func() error {
			_, err := own.client.ContainerStart(ctx, "ports", client.ContainerStartOptions{})
			return err
		}); err != nil {
			return 0, 0, err
		}
		time.Sleep(500 * time.Millisecond) // the pools refill
		after, err := enginePSS()
		if err == nil {
			_, err = own.client.ContainerRemove(ctx, "ports", client.ContainerRemoveOptions{Force: true})
		}
		return ms, after - before, err
	}
	for i := range o.n + 1 {
		ms, mb, err := once()
		if err != nil {
			return err
		}
		with, with2, err := once("-p", "10000-20000:10000-20000/udp")
		if err != nil {
			return err
		}
		if i == 0 {
			continue // warms up
		}
		plain = append(plain, ms)
		r.add(took, own.name, with-quantile(slices.Sorted(slices.Values(plain)), 0.5))
		r.add(grown, own.name, with2-mb)
	}
	return nil
}

// some is of how many creates and removals, at each end, the latencies are kept.
const some = 50

// manyNetworks makes as many networks as are wanted, and removes them, each time
// with what the daemon spends on it: how long one takes is also up to who else
// wants the disk and the kernel's one lock of links.
func manyNetworks(ctx context.Context, o options, own *own, r *report) error {
	n := o.limits.networks
	create := func(i int) error {
		_, err := own.client.NetworkCreate(ctx, fmt.Sprint("net", i), client.NetworkCreateOptions{})
		return err
	}
	remove := func(i int) error {
		_, err := own.client.NetworkRemove(ctx, fmt.Sprint("net", i), client.NetworkRemoveOptions{})
		return err
	}
	made := func(from, to int) error {
		var most float64
		for i := from; i < to; i++ {
			ms, err := timed(func() error { return create(i) })
			if err != nil {
				return err
			}
			if most = max(most, ms); i%1000 == 999 {
				fmt.Fprintf(os.Stderr, "bench: %d networks, the slowest in %.0f ms\n", i+1, most)
				most = 0
			}
		}
		return nil
	}
	edge := min(some, n/2)
	if err := spending(r, own, fmt.Sprintf("create a network, the first %d", edge), edge, create); err != nil {
		return err
	}
	if err := made(edge, n-edge); err != nil {
		return err
	}
	last := func(i int) error { return create(n - edge + i) }
	if err := spending(r, own, fmt.Sprintf("create a network, the last %d of %d", edge, n), edge, last); err != nil {
		return err
	}
	r.addRSS(fmt.Sprintf("memory of the daemon with %d networks (RSS)", n), own)
	// What comes in the place of one that goes, in the middle of all.
	swap := func(i int) error { return errors.Join(remove(n/2+i), create(n/2+i)) }
	if err := spending(r, own, fmt.Sprintf("remove a network of %d and create another", n), edge, swap); err != nil {
		return err
	}
	if err := spending(r, own, fmt.Sprintf("remove a network, the first of %d", n), edge, remove); err != nil {
		return err
	}
	for i := edge; i < n-edge; i++ {
		if err := remove(i); err != nil {
			return err
		}
	}
	return spending(r, own, fmt.Sprintf("remove a network, the last of %d", n), edge, func(i int) error { return remove(n - edge + i) })
}

// spending does something times, and adds how long each took, and the
// processors' time that the daemon spent on one, its own and the kernel's.
func spending(r *report, own *own, name string, times int, do func(i int) error) error {
	before, err := cpu(own.daemon.Pid())
	if err != nil {
		return err
	}
	for i := range times {
		ms, err := timed(func() error { return do(i) })
		if err != nil {
			return err
		}
		r.add(benchCase{name: name, unit: "ms"}, own.name, ms)
	}
	after, err := cpu(own.daemon.Pid())
	if err == nil {
		r.add(benchCase{name: name + ", time of processors", unit: "ms"}, own.name, (after-before)*1000/float64(times))
	}
	return err
}

// churn has containers join and leave networks all at once, through the API,
// for some time; then nothing may be left.
func churn(ctx context.Context, o options, own *own, r *report) error {
	before, err := leak.Read(ctx, []string{own.daemon.DataRoot(), own.daemon.ExecRoot()}, nil)
	if err != nil {
		return err
	}
	const networks = 3
	for i := range networks {
		if _, err := own.client.NetworkCreate(ctx, fmt.Sprint("net", i), client.NetworkCreateOptions{}); err != nil {
			return err
		}
	}
	var ids []string
	for range o.limits.churning {
		id, err := own.started(ctx, "bridge", nil)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	end := time.Now().Add(o.limits.watch)
	var did atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, len(ids))
	for _, id := range ids {
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				name := fmt.Sprint("net", i%networks)
				_, err := own.client.NetworkConnect(ctx, name, client.NetworkConnectOptions{Container: id})
				if err == nil {
					_, err = own.client.NetworkDisconnect(ctx, name, client.NetworkDisconnectOptions{Container: id})
				}
				if err != nil {
					errs <- err
					return
				}
				did.Add(2)
			}
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	c := benchCase{name: fmt.Sprintf("%d containers join and leave %d networks for %v, nothing left behind", len(ids), networks, o.limits.watch), unit: "/s"}
	r.add(c, own.name, float64(did.Load())/o.limits.watch.Seconds())
	if err := own.removeAll(ctx); err != nil {
		return err
	}
	for i := range networks {
		if _, err := own.client.NetworkRemove(ctx, fmt.Sprint("net", i), client.NetworkRemoveOptions{}); err != nil {
			return err
		}
	}
	for wait := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		after, err := leak.Read(ctx, []string{own.daemon.DataRoot(), own.daemon.ExecRoot()}, nil)
		if err != nil {
			return err
		}
		// What was being taken away at first is gone by now.
		left := slices.DeleteFunc(leak.Diff(before, after), func(line string) bool { return strings.HasPrefix(line, "-") })
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(wait) {
			return fmt.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	}
}
