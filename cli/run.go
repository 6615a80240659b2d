package cli

import (
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
	keys, err := s.detachKeys(o.detachKeys)
	if err != nil {
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
	return s.foreground(ctx, api, &foreground{
		id: id, sigProxy: o.sigProxy, autoRemove: req.HostConfig.AutoRemove,
		failed: func(err error) error { return runError("run", err) },
		streams: stream.Attachment{
			IO: s.IO, TTY: req.Tty, DetachKeys: keys,
			Stdin: req.AttachStdin, Stdout: req.AttachStdout, Stderr: req.AttachStderr,
		},
	})
}
