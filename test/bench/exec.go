package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// execs runs true n times in one container, one after the other, by way of
// run, and returns the time of one.
func execs(n int, run func(ctx context.Context, t *target, id string) error) func(context.Context, *own, *target) (float64, error) {
	return func(ctx context.Context, _ *own, t *target) (_ float64, err error) {
		created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{
			Config: &container.Config{Image: t.image, Cmd: []string{"sleep", "1000"}},
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
		total, err := timed(func() error {
			for range n {
				if err := run(ctx, t, created.ID); err != nil {
					return err
				}
			}
			return nil
		})
		return total / float64(n), err
	}
}

// execOnce is what a client does for an exec whose output it wants: create,
// start, read to the end, ask for the exit code.
func execOnce(ctx context.Context, t *target, id string) error {
	x, err := t.client.ExecCreate(ctx, id, client.ExecCreateOptions{Cmd: []string{"true"}, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return err
	}
	conn, err := t.client.ExecAttach(ctx, x.ID, client.ExecAttachOptions{})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.Copy(io.Discard, conn.Reader); err != nil {
		return err
	}
	ended, err := t.client.ExecInspect(ctx, x.ID, client.ExecInspectOptions{})
	if err == nil && (ended.Running || ended.ExitCode != 0) {
		err = fmt.Errorf("exec ended with %d", ended.ExitCode)
	}
	return err
}

func cliExec(ctx context.Context, t *target, id string) error {
	return t.command(ctx, t.cli, "exec", id, "true")
}
