package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// limitOptions are the sizes of the cases that are about many containers and
// much output.
type limitOptions struct {
	on               bool
	stopped, running int
	checked          int           // containers with a health check each second
	watch            time.Duration // for how long their CPU is counted
	bytes            int64         // of output, for each case that moves some
	seconds          int           // of each sample of traffic
	beside           []int         // how many containers run while others start
	networks         int           // how many are made
	churning         int           // how many containers join and leave networks
	stalled          bool          // of the case logs, only what has a reader that reads nothing
}

type limitRun func(ctx context.Context, o options, own *own, r *report) error

// limitCase is one thing that must hold with many containers or much output. It
// adds its own samples.
type limitCase struct {
	name string
	run  limitRun
	args []string // of the daemon
}

var limitCases = []limitCase{
	{name: "fleet", run: fleet},
	{name: "health", run: healthChecks},
	{name: "idle", run: idleLimits},
	{name: "logs", run: stalledLogs},
	{name: "attach", run: losslessAttach},
	{name: "attach gone", run: goneClient},
	{name: "net throughput", run: throughput},
	{name: "net throughput, no br_netfilter", run: withoutBrNetfilter(throughput)},
	{name: "net packets", run: packets},
	{name: "net packets, no br_netfilter", run: withoutBrNetfilter(packets)},
	{name: "net guard", run: guardCost},
	{name: "net requests", run: requests("docker")},
	{name: "net requests, no br_netfilter", run: withoutBrNetfilter(requests("docker"))},
	{name: "net requests, policy host", run: requests("host"), args: []string{"--publish-policy", "host"}},
	{name: "net names", run: names},
	{name: "net ports", run: manyPorts},
	{name: "net starts", run: networkedStarts, args: []string{"--default-address-pool", "base=10.96.0.0/11,size=16"}},
	{name: "net churn", run: churn, args: []string{"--default-address-pool", "base=10.96.0.0/11,size=16"}},
	{name: "net many", run: manyNetworks, args: []string{"--default-address-pool", "base=10.0.0.0/8,size=24"}},
}

// runLimits runs the cases, each on an engine of its own.
func runLimits(ctx context.Context, o options) error {
	report := newReport(o)
	for _, c := range limitCases {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		if err := limitCaseAlone(ctx, o, c, report); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s done\n", c.name)
	}
	report.print(os.Stdout)
	if o.out != "" {
		return report.save(o.out)
	}
	return nil
}

func limitCaseAlone(ctx context.Context, o options, c limitCase, r *report) (err error) {
	own, err := startOwn(ctx, c.args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.removeAll(context.WithoutCancel(ctx)), own.close()) }()
	// The first of everything warms up.
	if err := runOnce(ctx, own.target, "bridge"); err != nil {
		return err
	}
	return c.run(ctx, o, own, r)
}

// removeAll leaves nothing running, whatever a case was at when it ended or was
// interrupted: one has stopped the daemon, which alone can remove containers.
func (o *own) removeAll(ctx context.Context) error {
	if !o.daemon.Running() {
		if err := o.start(ctx); err != nil {
			return err
		}
	}
	list, err := o.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range list.Items {
		_, err := o.client.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// asleep creates a container that sleeps, and starts it.
func asleep(ctx context.Context, t *target, health *container.HealthConfig) (id string, started float64, err error) {
	created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: t.image, Cmd: []string{"sleep", "1000000"}, Healthcheck: health},
	})
	if err != nil {
		return "", 0, err
	}
	started, err = timed(func() error {
		_, err := t.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{})
		return err
	})
	return created.ID, started, err
}

// someStarts is of how many starts, at each end, the latencies are kept.
const someStarts = 20

// fleet makes many containers, most of them stopped, and asks what the engine
// still is with them.
func fleet(ctx context.Context, o options, own *own, r *report) error {
	l := o.limits
	for range l.stopped {
		_, err := own.client.ContainerCreate(ctx, client.ContainerCreateOptions{Config: &container.Config{Image: own.image, Cmd: []string{"true"}}})
		if err != nil {
			return err
		}
	}
	cold := benchCase{name: fmt.Sprintf("daemon cold start, %d stopped containers", l.stopped), unit: "ms"}
	look := benchCase{name: fmt.Sprintf("API inspect, %d containers", l.stopped), unit: "ms"}
	for range min(o.n, 5) {
		ms, err := coldStart(ctx, own, nil)
		if err != nil {
			return err
		}
		r.add(cold, own.name, ms)
	}
	if err := inspects(ctx, own.target, o.n, func(ms float64) { r.add(look, own.name, ms) }); err != nil {
		return err
	}
	first := benchCase{name: fmt.Sprintf("start latency among %d containers, first %d", l.stopped, someStarts), unit: "ms", floor: 1}
	middle := benchCase{name: fmt.Sprintf("start latency with %d running, %d of them", l.running/3, someStarts), unit: "ms", floor: 1}
	last := benchCase{name: fmt.Sprintf("start latency with %d running, last %d (goal: 1.2 × the first)", l.running, someStarts), unit: "ms", floor: 1}
	for i := range l.running {
		_, ms, err := asleep(ctx, own.target, nil)
		if err != nil {
			return err
		}
		var among benchCase
		switch {
		case i < someStarts:
			among = first
		case i >= l.running/3 && i < l.running/3+someStarts:
			among = middle
		case i >= l.running-someStarts:
			among = last
		default:
			continue
		}
		r.add(among, own.name, ms)
		// What of a difference is the kernel's, or the machine's.
		if err := own.addFloor(ctx, among, r); err != nil {
			return err
		}
	}
	r.addRSS(fmt.Sprintf("memory of the daemon with %d containers, %d running (RSS; goal: 80 MB)", l.stopped+l.running, l.running), own)
	ps := benchCase{name: fmt.Sprintf("CLI ps -a, %d containers (goal: 30 ms)", l.stopped+l.running), unit: "ms"}
	for range o.n {
		ms, err := timed(func() error { return own.command(ctx, own.cli, "ps", "-a") })
		if err != nil {
			return err
		}
		r.add(ps, own.name, ms)
	}
	ready := benchCase{name: fmt.Sprintf("daemon ready after a restart, %d containers, %d running (goal: 300 ms)", l.stopped+l.running, l.running), unit: "ms"}
	for range min(o.n, 5) {
		ms, err := coldStart(ctx, own, nil)
		if err != nil {
			return err
		}
		r.add(ready, own.name, ms)
	}
	r.addRSS("memory of the daemon after that restart (RSS; goal: 80 MB)", own)
	return nil
}

// inspects asks for containers, one after the other, and tells how long each
// answer takes.
func inspects(ctx context.Context, t *target, n int, add func(ms float64)) error {
	list, err := t.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return err
	}
	for i := range min(n, len(list.Items)) {
		ms, err := timed(func() error {
			_, err := t.client.ContainerInspect(ctx, list.Items[i].ID, client.ContainerInspectOptions{})
			return err
		})
		if err != nil {
			return err
		}
		add(ms)
	}
	return nil
}

// addRSS adds the daemon's resident memory, which is also what is shared.
func (r *report) addRSS(name string, own *own) {
	if mb, err := resident(own.daemon.Pid()); err == nil {
		r.add(benchCase{name: name, unit: "MB"}, own.name, mb)
	}
}
