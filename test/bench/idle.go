package main

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/client"
)

const (
	// calm is how long nothing happens before memory is counted that is given
	// back by and by.
	calm = 10 * time.Second
	// idlers are the containers by whose number memory is divided.
	idlers = 10
	// saidBefore and execsBefore are what a container has done before it idles.
	saidBefore  = 100 << 20
	execsBefore = 100
)

// idleLimits counts what is there when nothing happens: the memory of the engine,
// of each container, also of one that has worked before, and how soon the engine
// answers that was not there.
func idleLimits(ctx context.Context, o options, own *own, r *report) error {
	cold := func(goal, stopped int) error {
		name := benchCase{name: fmt.Sprintf("daemon cold start to first answer, %d stopped containers (goal: %d ms)", stopped, goal), unit: "ms"}
		for range min(o.n, 5) {
			ms, err := coldStart(ctx, own, nil)
			if err != nil {
				return err
			}
			r.add(name, own.name, ms)
		}
		return nil
	}
	if err := cold(100, 0); err != nil {
		return err
	}
	if err := sleep(ctx, calm); err != nil {
		return err
	}
	mb, err := pss(own.daemon.Pid())
	if err != nil {
		return err
	}
	r.add(benchCase{name: "memory of the idle daemon (PSS; goal: 40 MB)", unit: "MB"}, own.name, mb)
	if err := idleMemory(ctx, own, r); err != nil {
		return err
	}
	if err := own.removeAll(ctx); err != nil {
		return err
	}
	for range o.limits.stopped {
		if _, err := own.create(ctx, []string{"true"}); err != nil {
			return err
		}
	}
	return cold(200, o.limits.stopped)
}

// idleMemory counts the memory of Berth's processes for each container that
// sleeps, and again when each has said much and run many further processes.
func idleMemory(ctx context.Context, own *own, r *report) error {
	before, err := helpersPSS()
	if err != nil {
		return err
	}
	count := func(what string) error {
		if err := sleep(ctx, calm); err != nil {
			return err
		}
		after, err := helpersPSS()
		if err != nil {
			return err
		}
		r.add(benchCase{name: "memory per idle container" + what + " (PSS; goal: 0.38 MB)", unit: "MB"}, own.name, (after-before)/idlers)
		return nil
	}
	words := fmt.Sprintf("yes %s | head -c %d; exec sleep 1000000", pattern, saidBefore)
	var ids []string
	for range idlers {
		id, _, err := asleep(ctx, own.target, nil)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := count(""); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := own.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true}); err != nil {
			return err
		}
		if id, err = own.create(ctx, []string{"sh", "-c", words}); err != nil {
			return err
		}
		if _, err := own.client.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
			return err
		}
		for range execsBefore {
			if err := execOnce(ctx, own.target, id); err != nil {
				return err
			}
		}
		if err := said(ctx, own, id); err != nil {
			return err
		}
	}
	return count(fmt.Sprintf(" that has printed %d MB and served %d execs", saidBefore>>20, execsBefore))
}

// said waits until a container of idleMemory sleeps.
func said(ctx context.Context, own *own, id string) error {
	for {
		top, err := own.client.ContainerTop(ctx, id, client.ContainerTopOptions{Arguments: []string{"-o", "args"}})
		if err != nil {
			return err
		}
		if len(top.Processes) == 1 && len(top.Processes[0]) > 0 && top.Processes[0][0] == "sleep 1000000" {
			return nil
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
