package cli

import (
	"context"
	"errors"

	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type attachFlags struct {
	noStdin  bool
	sigProxy bool
	keys     string
}

func newAttach(s *Session) *cobra.Command {
	var o attachFlags
	cmd := &cobra.Command{
		Use:         "attach [OPTIONS] CONTAINER",
		Short:       "Attach local standard input, output, and error streams to a running container",
		Args:        exactArgs(1),
		Annotations: callable(0, "container attach", "attach"),
		RunE:        func(cmd *cobra.Command, args []string) error { return s.attachTo(cmd.Context(), args[0], o) },
		ValidArgsFunction: s.completeContainers(1, false, func(c container.Summary) bool {
			return c.State != container.StatePaused
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.keys, "detach-keys", "", "Override the key sequence for detaching a container")
	f.BoolVar(&o.noStdin, "no-stdin", false, "Do not attach STDIN")
	f.BoolVar(&o.sigProxy, "sig-proxy", true, "Proxy all received signals to the process")
	return cmd
}

func (s *Session) attachTo(ctx context.Context, name string, o attachFlags) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	keys, err := s.detachKeys(o.keys)
	if err != nil {
		return err
	}
	c, err := runningContainer(ctx, api, name)
	if err != nil {
		return err
	}
	if err := s.IO.CheckTTY(!o.noStdin, c.Config.Tty); err != nil {
		return err
	}
	var signals *stream.Signals
	if o.sigProxy && !c.Config.Tty {
		ctx = context.WithoutCancel(ctx)
		signals = stream.CatchSignals()
		defer signals.Stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &stream.Attachment{
		IO: s.IO, TTY: c.Config.Tty, DetachKeys: keys,
		Stdin: !o.noStdin && c.Config.OpenStdin, Stdout: true, Stderr: true,
	}
	// "Not running" is answered at once if the container has ended since.
	exit, err := s.attachAndWait(ctx, api, c.ID, a, container.WaitConditionNotRunning)
	if err != nil {
		return err
	}
	defer a.Conn.Close()
	if signals != nil {
		go signals.Forward(ctx, s.killer(api, c.ID))
	}
	if c.Config.Tty && s.IO.OutTTY() {
		// A program that draws on its terminal draws again when the size
		// changes; without a change the screen would stay empty.
		resize := resizer(api, c.ID)
		if rows, cols := s.IO.Size(); rows > 0 {
			_ = resize(ctx, rows+1, cols+1)
		}
		go s.IO.FollowSize(ctx, resize)
	}
	if err := a.Run(ctx); err != nil {
		return err
	}
	return exitWith(<-exit)
}

func runningContainer(ctx context.Context, api *client.Client, name string) (container.InspectResponse, error) {
	found, err := api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	c := found.Container
	switch {
	case err != nil:
	case !c.State.Running:
		err = errors.New("You cannot attach to a stopped container, start it first")
	case c.State.Paused:
		err = errors.New("You cannot attach to a paused container, unpause it first")
	case c.State.Restarting:
		err = errors.New("You cannot attach to a restarting container, wait until it is running")
	}
	return c, err
}
