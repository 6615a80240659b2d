package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/test/engine"
)

// once is one container's whole life through the API.
type once struct {
	network string
	publish bool // a port, at a number that the engine chooses
	remove  bool // as --rm: the engine removes it, and its removal is awaited
}

// runOnce is once with nothing but a network.
func runOnce(ctx context.Context, t *target, network string) error {
	return once{network: network}.run(ctx, t)
}

func (o once) run(ctx context.Context, t *target) error {
	config, host := &container.Config{Image: t.image, Cmd: []string{"true"}}, t.hostConfig()
	host.NetworkMode, host.AutoRemove = container.NetworkMode(o.network), o.remove
	if o.publish {
		port := nettypes.MustParsePort("80/tcp")
		config.ExposedPorts = nettypes.PortSet{port: {}}
		host.PortBindings = nettypes.PortMap{port: {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
	}
	created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{Config: config, HostConfig: host})
	if err != nil {
		return err
	}
	cond := container.WaitConditionNextExit
	if o.remove {
		cond = container.WaitConditionRemoved
	}
	wait := t.client.ContainerWait(ctx, created.ID, client.ContainerWaitOptions{Condition: cond})
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
	if !o.remove {
		_, err = t.client.ContainerRemove(ctx, created.ID, client.ContainerRemoveOptions{})
	}
	return err
}

// hostConfig is that of a container which is counted, if the engine is.
func (t *target) hostConfig() *container.HostConfig {
	h := &container.HostConfig{}
	if t.meter != nil {
		h.CgroupParent = t.meter.group
	}
	return h
}

// cpuOf runs something n times and returns the processor time of one, with what
// is done after the answer: putting away, and getting ready for the next.
func cpuOf(n int, run func(ctx context.Context, t *target) error) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (float64, error) {
		before, err := t.meter.quietly(ctx)
		if err != nil {
			return 0, err
		}
		for range n {
			if err := run(ctx, t); err != nil {
				return 0, err
			}
		}
		after, err := t.meter.quietly(ctx)
		return (after - before) / float64(n), err
	}
}

// countedCLI runs a container by the command line, which is counted, too.
func countedCLI(ctx context.Context, t *target) error {
	argv := t.meter.enter([]string{t.cli, "run", "--rm", "--cgroup-parent", t.meter.group, t.image, "true"})
	return t.command(ctx, argv[0], argv[1:]...)
}

// firstLine is the time from the answer of a create to the first line of the
// program, which says when that was; it is one of Go's, whose start is a part of
// it.
func firstLine(ctx context.Context, _ *own, t *target) (_ float64, err error) {
	bin, err := engine.Bin()
	if err != nil {
		return 0, err
	}
	host := t.hostConfig()
	host.Binds = []string{filepath.Join(bin, "floor") + ":/stamp:ro"}
	created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: t.image, Cmd: []string{"/stamp", "-stamp"}}, HostConfig: host,
	})
	answered := time.Now()
	if err != nil {
		return 0, err
	}
	defer func() {
		_, e := t.client.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true})
		err = errors.Join(err, e)
	}()
	if _, err := t.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return 0, err
	}
	logs, err := t.client.ContainerLogs(ctx, created.ID, client.ContainerLogsOptions{ShowStdout: true, Follow: true})
	if err != nil {
		return 0, err
	}
	defer logs.Close()
	var said strings.Builder
	if _, err := stdcopy.StdCopy(&said, io.Discard, logs); err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(said.String()), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the program's stamp: %w", err)
	}
	return time.Unix(0, ns).Sub(answered.Round(0)).Seconds() * 1000, nil
}

// stopOne is how long the stop of a container takes whose program ends when it is
// told to.
func stopOne(ctx context.Context, _ *own, t *target) (_ float64, err error) {
	created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: t.image, Cmd: []string{"sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done"}},
		HostConfig: t.hostConfig(),
	})
	if err != nil {
		return 0, err
	}
	defer func() {
		_, e := t.client.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true})
		err = errors.Join(err, e)
	}()
	if _, err := t.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return 0, err
	}
	logs, err := t.client.ContainerLogs(ctx, created.ID, client.ContainerLogsOptions{ShowStdout: true, Follow: true})
	if err != nil {
		return 0, err
	}
	defer logs.Close()
	if _, err := io.ReadFull(logs, make([]byte, 8+len("ready\n"))); err != nil { // with the header of a frame
		return 0, fmt.Errorf("the program is not ready: %w", err)
	}
	return timed(func() error {
		_, err := t.client.ContainerStop(ctx, created.ID, client.ContainerStopOptions{})
		return err
	})
}
