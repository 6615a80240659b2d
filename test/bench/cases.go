package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// benchCase is one kind of work. run does it once and returns what it cost, in
// the case's unit.
type benchCase struct {
	name  string
	unit  string
	own   bool // only for the engine that bench itself started
	once  bool // dear: few samples
	floor bool // the floor runs interleaved
	run   func(ctx context.Context, own *own, t *target) (float64, error)
}

var cases = []benchCase{
	{name: "CLI run --rm true, bridge", unit: "ms", run: cli("bridge")},
	{name: "CLI run --rm true, no network", unit: "ms", run: cli("none")},
	{name: "stock docker CLI run --rm true, bridge", unit: "ms", run: stockCLI},
	{name: "API create+start+wait+remove, bridge", unit: "ms", run: api("bridge")},
	{name: "API create+start+wait+remove, no network", unit: "ms", run: api("none")},
	{name: "20 API runs back to back, each, bridge", unit: "ms", once: true, floor: true, run: backToBack(inARow)},
	{name: "API exec of true, each of 20 in a row", unit: "ms", once: true, run: execs(inARow, execOnce)},
	{name: "CLI exec true, each of 20 in a row", unit: "ms", once: true, run: execs(inARow, cliExec)},
	{name: "50 containers at once, API", unit: "ms", once: true, run: parallel(50)},
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

func cli(network string) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		return timed(func() error { return t.command(ctx, t.cli, "run", "--rm", "--network", network, t.image, "true") })
	}
}

func stockCLI(ctx context.Context, _ *own, t *target) (float64, error) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		return 0, err
	}
	return timed(func() error { return t.command(ctx, docker, "run", "--rm", t.image, "true") })
}

func api(network string) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		return timed(func() error { return runOnce(ctx, t, network) })
	}
}

// runOnce is one container's whole life through the API.
func runOnce(ctx context.Context, t *target, network string) error {
	created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: t.image, Cmd: []string{"true"}},
		HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(network)},
	})
	if err != nil {
		return err
	}
	wait := t.client.ContainerWait(ctx, created.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := t.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return err
	}
	select {
	case res := <-wait.Result:
		if res.StatusCode != 0 {
			return fmt.Errorf("true ended with %d", res.StatusCode)
		}
	case err := <-wait.Error:
		return err
	}
	_, err = t.client.ContainerRemove(ctx, created.ID, client.ContainerRemoveOptions{})
	return err
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

func parallel(n int) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		return timed(func() error {
			g, ctx := errgroup.WithContext(ctx)
			for range n {
				g.Go(func() error { return runOnce(ctx, t, "bridge") })
			}
			return g.Wait()
		})
	}
}

func coldStart(ctx context.Context, own *own, _ *target) (float64, error) {
	if err := own.daemon.Stop(); err != nil {
		return 0, err
	}
	return timed(func() error { return own.daemon.Start(ctx) })
}

func idleDaemon(_ context.Context, own *own, _ *target) (float64, error) {
	return pss(own.daemon.Pid())
}

// idleContainer starts ten sleeping containers and returns how much the
// memory of all Berth's processes grew, for each; the containers' own
// processes do not count.
func idleContainer(ctx context.Context, _ *own, t *target) (_ float64, err error) {
	const count = 10
	before, err := enginePSS()
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
	time.Sleep(500 * time.Millisecond) // the pools refill
	after, err := enginePSS()
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
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return nil
}
