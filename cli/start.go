package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newStart(s *Session) *cobra.Command {
	var (
		attach, interactive bool
		keys                string
	)
	cmd := &cobra.Command{
		Use:         "start [OPTIONS] CONTAINER [CONTAINER...]",
		Short:       "Start one or more stopped containers",
		Args:        someArgs,
		Annotations: callable(0, "container start", "start"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !attach && !interactive {
				return s.startAll(cmd.Context(), args)
			}
			if len(args) > 1 {
				return errors.New("you cannot start and attach multiple containers at once")
			}
			return s.startAttached(cmd.Context(), args[0], interactive, keys)
		},
		ValidArgsFunction: s.completeContainers(-1, true, func(c container.Summary) bool {
			return c.State == container.StateExited || c.State == container.StateCreated
		}),
	}
	f := cmd.Flags()
	f.BoolVarP(&attach, "attach", "a", false, "Attach STDOUT/STDERR and forward signals")
	f.StringVar(&keys, "detach-keys", "", "Override the key sequence for detaching a container")
	f.BoolVarP(&interactive, "interactive", "i", false, "Attach container's STDIN")
	return cmd
}

// startAll starts one after the other, in the order given, since one may need
// the other. Errors are told as they come.
func (s *Session) startAll(ctx context.Context, names []string) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	var failed []string
	for _, name := range names {
		if _, err := api.ContainerStart(ctx, name, client.ContainerStartOptions{}); err != nil {
			fmt.Fprintln(s.IO.Err, s.explain(err))
			failed = append(failed, name)
			continue
		}
		fmt.Fprintln(s.IO.Out, name)
	}
	if len(failed) > 0 {
		return errors.New("Error: failed to start containers: " + strings.Join(failed, ", "))
	}
	return nil
}

func (s *Session) startAttached(ctx context.Context, name string, interactive bool, keys string) error {
	keys, err := s.detachKeys(keys)
	if err != nil {
		return err
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	found, err := api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	c := found.Container
	return s.foreground(ctx, api, &foreground{
		id: c.ID, sigProxy: !c.Config.Tty, autoRemove: c.HostConfig.AutoRemove,
		failed: func(err error) error { return err },
		streams: stream.Attachment{
			IO: s.IO, TTY: c.Config.Tty, DetachKeys: keys,
			Stdin: interactive && c.Config.OpenStdin, Stdout: true, Stderr: true,
		},
	})
}
