package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type runFlags struct {
	createFlags
	detach      bool
	sigProxy    bool
	detachKeys  string
	startDaemon bool
}

func newRun(s *Session) *cobra.Command {
	var (
		o runFlags
		c containerFlags
	)
	cmd := &cobra.Command{
		Use:         "run [OPTIONS] IMAGE [COMMAND] [ARG...]",
		Short:       "Create and run a new container from an image",
		Args:        someArgs,
		Annotations: callable(1, "container run", "run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.image, c.args = args[0], args[1:]
			s.flags.startDaemon = s.flags.startDaemon || o.startDaemon
			return s.run(cmd, &c, &o)
		},
		ValidArgsFunction: s.completeImages(1),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&o.detach, "detach", "d", false, "Run container in background and print container ID")
	f.StringVar(&o.detachKeys, "detach-keys", "", "Override the key sequence for detaching a container")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress the pull output")
	f.BoolVar(&o.sigProxy, "sig-proxy", true, "Proxy received signals to the process")
	f.BoolVar(&o.startDaemon, "start-daemon", false, "Start the daemon first if it is not running (as root)")
	o.add(cmd)
	c.add(f)
	completeContainerFlags(cmd, s)
	return cmd
}

func (s *Session) run(cmd *cobra.Command, c *containerFlags, o *runFlags) error {
	ctx := cmd.Context()
	api, req, err := s.prepare(cmd, c, &o.createFlags)
	if err != nil {
		return &statusError{125, &hintError{"run", err}}
	}
	if o.detach {
		if len(c.attach.Values) > 0 {
			return errors.New("conflicting options: cannot specify both --attach and --detach")
		}
		req.AttachStdin, req.AttachStdout, req.AttachStderr, req.StdinOnce = false, false, false, false
	} else if err := s.IO.CheckTTY(req.AttachStdin, req.Tty); err != nil {
		return err
	}
	id, err := s.create(ctx, api, req, &o.createFlags)
	if err != nil {
		return runError("run", err)
	}
	if !req.AttachStdin && !req.AttachStdout && !req.AttachStderr {
		if _, err := api.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
			if c.rm {
				w := api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
				gone := make(chan int, 1)
				go func() { gone <- s.removed(w) }()
				s.awaitRemoval(gone)
			}
			return runError("run", err)
		}
		fmt.Fprintln(s.IO.Out, id)
		return nil
	}
	return s.foreground(ctx, api, id, req, o)
}

// foreground attaches, starts, and stays until the container has ended, been
// removed if that was asked for, and all its output is shown.
func (s *Session) foreground(ctx context.Context, api *client.Client, id string, req *container.CreateRequest, o *runFlags) error {
	var signals *stream.Signals
	if o.sigProxy {
		// From here on signals are the container's; they do not end this
		// command.
		ctx = context.WithoutCancel(ctx)
		signals = stream.CatchSignals()
		defer signals.Stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cond := container.WaitConditionNextExit
	if req.HostConfig.AutoRemove {
		cond = container.WaitConditionRemoved
	}
	a := &stream.Attachment{
		IO: s.IO, TTY: req.Tty, DetachKeys: s.detachKeys(o.detachKeys),
		Stdin: req.AttachStdin, Stdout: req.AttachStdout, Stderr: req.AttachStderr,
	}
	exit, err := s.attachAndWait(ctx, api, id, a, cond)
	if err != nil {
		return err
	}
	defer a.Conn.Close()

	copied := make(chan error, 1)
	go func() { copied <- a.Run(ctx) }()
	if _, err := api.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		cancel()
		<-copied // the terminal is as it was; why it did not start says more
		if req.HostConfig.AutoRemove {
			s.awaitRemoval(exit)
		}
		return runError("run", err)
	}
	if signals != nil {
		go signals.Forward(ctx, s.killer(api, id))
	}
	if req.Tty && s.IO.OutTTY() {
		go s.IO.FollowSize(ctx, resizer(api, id))
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
