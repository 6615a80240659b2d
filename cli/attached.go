package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// foreground is a container that is started while this command watches.
type foreground struct {
	id         string
	streams    stream.Attachment
	sigProxy   bool              // signals are passed on
	autoRemove bool              // its removal is awaited, too
	failed     func(error) error // words what kept it from starting
}

// foreground attaches, starts, and stays until the container has ended, been
// removed if that was asked for, and all its output is shown.
func (s *Session) foreground(ctx context.Context, api *client.Client, f *foreground) error {
	var signals *stream.Signals
	if f.sigProxy {
		// From here on signals are the container's; they do not end this
		// command.
		ctx = context.WithoutCancel(ctx)
		signals = stream.CatchSignals()
		defer signals.Stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cond := container.WaitConditionNextExit
	if f.autoRemove {
		cond = container.WaitConditionRemoved
	}
	a := &f.streams
	exit, err := s.attachAndWait(ctx, api, f.id, a, cond)
	if err != nil {
		return err
	}
	defer a.Conn.Close()

	copied := make(chan error, 1)
	go func() { copied <- a.Run(ctx) }()
	if _, err := api.ContainerStart(ctx, f.id, client.ContainerStartOptions{}); err != nil {
		cancel()
		<-copied // the terminal is as it was
		if f.autoRemove {
			s.awaitRemoval(exit)
		}
		return f.failed(err)
	}
	if signals != nil {
		go signals.Forward(ctx, s.killer(api, f.id))
	}
	if a.TTY && s.IO.OutTTY() {
		go s.IO.FollowSize(ctx, resizer(api, f.id))
	}
	return s.outcome(ctx, cancel, copied, exit, a.Stdout || a.Stderr)
}

// outcome waits for both the copying and the exit, whichever comes first.
func (s *Session) outcome(ctx context.Context, cancel func(), copied <-chan error, exit <-chan int, output bool) error {
	select {
	case err := <-copied:
		switch {
		case errors.Is(err, stream.ErrDetached):
			return nil
		case err != nil:
			return err
		}
		select {
		case code := <-exit:
			return exitWith(code)
		case <-ctx.Done():
			return ctx.Err()
		}
	case code := <-exit:
		// Output may still be on its way. Without output only input is
		// left, which nobody reads any more.
		if !output {
			cancel()
		}
		<-copied // the exit code says how it went
		return exitWith(code)
	}
}

// attachAndWait connects the streams and registers for the exit, both at
// once, before the container starts: nothing it prints and no exit, however
// quick, can be missed.
func (s *Session) attachAndWait(ctx context.Context, api *client.Client, id string, a *stream.Attachment, cond container.WaitCondition) (<-chan int, error) {
	waiting := make(chan client.ContainerWaitResult, 1)
	go func() { waiting <- api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: cond}) }()
	err := s.attach(ctx, api, id, a)
	w := <-waiting
	if err != nil {
		return nil, err
	}
	exit := make(chan int, 1)
	go func() { exit <- s.exitCode(ctx, w) }()
	return exit, nil
}

func (s *Session) attach(ctx context.Context, api *client.Client, id string, a *stream.Attachment) error {
	resp, err := api.ContainerAttach(ctx, id, client.ContainerAttachOptions{
		Stream: true, Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, DetachKeys: a.DetachKeys,
	})
	if err != nil {
		return err
	}
	a.Conn = resp.HijackedResponse
	return nil
}

// exitCode is the container's, or 125 when the daemon cannot tell it.
func (s *Session) exitCode(ctx context.Context, w client.ContainerWaitResult) int {
	select {
	case r := <-w.Result:
		if r.Error != nil {
			fmt.Fprintln(s.IO.Err, "Error waiting for container:", r.Error.Message)
			return 125
		}
		return int(r.StatusCode)
	case err := <-w.Error:
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintln(s.IO.Err, "error waiting for container:", err)
		}
		return 125
	case <-ctx.Done():
		return 125
	}
}

func (s *Session) killer(api *client.Client, id string) func(context.Context, string) error {
	return func(ctx context.Context, name string) error {
		_, err := api.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: name})
		return err
	}
}

func resizer(api *client.Client, id string) func(context.Context, uint, uint) error {
	return func(ctx context.Context, rows, cols uint) error {
		_, err := api.ContainerResize(ctx, id, client.ContainerResizeOptions{Height: rows, Width: cols})
		return err
	}
}

// awaitRemoval waits until a container of --rm that failed to start is gone,
// so that its name is free when the command ends; not for ever, should the
// daemon keep it.
func (s *Session) awaitRemoval(gone <-chan int) {
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
	}
}

// removed waits for a removal; an error means that it has happened.
func (s *Session) removed(w client.ContainerWaitResult) int {
	select {
	case <-w.Result:
	case <-w.Error:
	}
	return 0
}
