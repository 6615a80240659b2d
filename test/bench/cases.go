package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// benchCase is one kind of work. run does it once and returns what it cost, in
// the case's unit; or many does, where one go gives several figures.
type benchCase struct {
	name  string
	unit  string
	own   bool // only for the engine that bench itself started
	once  bool // dear: few samples
	cpu   bool // of processor time, which is counted of private engines
	floor int  // the floor runs interleaved, for so many containers; 0: it does not
	crowd int  // so many of them at once, where the case is how many there are in a second
	run   func(ctx context.Context, own *own, t *target) (float64, error)
	many  func(ctx context.Context, own *own, t *target, add func(name, unit string, value float64)) error
}

// aFew containers make the floor beside a case of a single one.
const aFew = 5

var cases = []benchCase{
	{name: "CLI run --rm true, bridge", unit: "ms", floor: aFew, run: cli("--network", "bridge")},
	{name: "CLI run --rm true, no network", unit: "ms", floor: aFew, run: cli("--network", "none")},
	{name: "CLI run --rm true, published port", unit: "ms", floor: aFew, run: cli("-p", "127.0.0.1::80")},
	{name: "stock docker CLI run --rm true, bridge", unit: "ms", floor: aFew, run: stockCLI},
	{name: "API create+start+wait+remove, bridge", unit: "ms", floor: aFew, run: apiRun(once{network: "bridge"})},
	{name: "API create+start+wait+remove, no network", unit: "ms", floor: aFew, run: apiRun(once{network: "none"})},
	{name: "API create+start+wait+remove, published port", unit: "ms", floor: aFew, run: apiRun(once{network: "bridge", publish: true})},
	{name: "API create+start+wait of --rm, bridge", unit: "ms", floor: aFew, run: apiRun(once{network: "bridge", remove: true})},
	{name: "API start: create answered to the program's first line", unit: "ms", floor: aFew, run: firstLine},
	{name: "API stop of a shell that traps TERM", unit: "ms", run: stopOne},
	{name: "20 API runs back to back, each, bridge", unit: "ms", once: true, floor: inARow, run: backToBack(inARow)},
	{name: "CPU of an API run, all processes", unit: "ms", once: true, cpu: true, floor: inARow, run: cpuOf(inARow, func(ctx context.Context, t *target) error { return once{network: "bridge"}.run(ctx, t) })},
	{name: "CPU of an API run with --rm, all processes", unit: "ms", once: true, cpu: true, floor: inARow, run: cpuOf(inARow, func(ctx context.Context, t *target) error { return once{network: "bridge", remove: true}.run(ctx, t) })},
	{name: "CPU of a CLI run --rm, all processes", unit: "ms", once: true, cpu: true, floor: inARow, run: cpuOf(inARow, countedCLI)},
	{name: "API exec of true, each of 20 in a row", unit: "ms", once: true, run: execs(inARow, execOnce)},
	{name: "CLI exec true, each of 20 in a row", unit: "ms", once: true, run: execs(inARow, cliExec)},
	crowdCase(1),
	crowdCase(8),
	crowdCase(32),
	{name: "50 containers at once, API", unit: "ms", once: true, run: parallel(50)},
	{name: sustainedRuns, unit: "/s", once: true, run: sustained(1000, 8), floor: 200, crowd: 8},
	{name: "daemon cold start to first answer", unit: "ms", own: true, once: true, run: coldStart},
	{name: "memory of the idle daemon (PSS)", unit: "MB", own: true, once: true, run: idleDaemon},
	{name: "memory per idle container (PSS)", unit: "MB", own: true, once: true, run: idleContainer},
}

// timed runs f and returns its wall time in milliseconds.
func timed(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return float64(time.Since(start).Microseconds()) / 1000, err
}

func cli(flags ...string) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		args := append(append([]string{"run", "--rm"}, flags...), t.image, "true")
		return timed(func() error { return t.command(ctx, t.cli, args...) })
	}
}

func stockCLI(ctx context.Context, _ *own, t *target) (float64, error) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		return 0, err
	}
	return timed(func() error { return t.command(ctx, docker, "run", "--rm", t.image, "true") })
}

func apiRun(o once) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		return timed(func() error { return o.run(ctx, t) })
	}
}

// inARow is how many containers, or floors, make one sample where each follows
// the other at once: what one leaves the kernel to clean up is then paid by the
// next of its own kind, and not by another target's.
const inARow = 20

// backToBack runs n containers one after the other and returns the time of one.
func backToBack(n int) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		total, err := timed(func() error {
			for range n {
				if err := runOnce(ctx, t, "bridge"); err != nil {
					return err
				}
			}
			return nil
		})
		return total / float64(n), err
	}
}

func coldStart(ctx context.Context, own *own, _ *target) (float64, error) {
	if err := own.daemon.Stop(); err != nil {
		return 0, err
	}
	return timed(func() error { return own.start(ctx) })
}

// idleFor is how long nobody asks anything of a daemon that is idle.
const idleFor = 8 * time.Second

func idleDaemon(ctx context.Context, own *own, _ *target) (float64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(idleFor):
	}
	return pss(own.daemon.Pid())
}

// idleContainer starts ten sleeping containers and returns how much the
// memory of Berth's helpers grew, for each; the containers' own processes do not
// count.
func idleContainer(ctx context.Context, _ *own, t *target) (_ float64, err error) {
	const count = 10
	before, err := helpersPSS()
	if err != nil {
		return 0, err
	}
	var ids []string
	defer func() {
		for _, id := range ids {
			_, e := t.client.ContainerRemove(context.WithoutCancel(ctx), id, client.ContainerRemoveOptions{Force: true})
			err = errors.Join(err, e)
		}
	}()
	for range count {
		created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{
			Config: &container.Config{Image: t.image, Cmd: []string{"sleep", "1000"}},
		})
		if err != nil {
			return 0, err
		}
		ids = append(ids, created.ID)
		if _, err := t.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
			return 0, err
		}
	}
	if err := sleep(ctx, calm); err != nil { // and the pools refill
		return 0, err
	}
	after, err := helpersPSS()
	if err != nil {
		return 0, err
	}
	return (after - before) / count, nil
}

// command runs a client against the target and returns its failure with what
// it printed.
func (t *target) command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "BERTH_HOST="+t.host, "DOCKER_HOST="+t.host)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w\n%s", filepath.Base(name), args, err, out)
	}
	return nil
}
