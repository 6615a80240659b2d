package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newRm(s *Session) *cobra.Command {
	var (
		o   client.ContainerRemoveOptions
		dry bool
	)
	cmd := &cobra.Command{
		Use:         "rm [OPTIONS] CONTAINER [CONTAINER...]",
		Aliases:     []string{"remove"},
		Short:       "Remove one or more containers",
		Args:        someArgs,
		Annotations: callable(0, "container rm", "container remove", "rm"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dry {
				return s.dryRun(cmd.Context(), "containers", args, onFlags(map[string]bool{"force": o.Force, "v": o.RemoveVolumes, "link": o.RemoveLinks}))
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				name = strings.Trim(name, "/")
				if name == "" {
					return errors.New("container name cannot be empty")
				}
				_, err := api.ContainerRemove(ctx, name, o)
				if o.Force && cerrdefs.IsNotFound(err) {
					fmt.Fprintln(s.IO.Err, err)
					return errSkip
				}
				return err
			})
		},
		ValidArgsFunction: s.completeContainers(-1, true, func(c container.Summary) bool {
			return o.Force || c.State == container.StateExited || c.State == container.StateCreated
		}),
	}
	f := cmd.Flags()
	dryRunFlag(f, &dry)
	f.BoolVarP(&o.Force, "force", "f", false, "Force the removal of a running container (uses SIGKILL)")
	f.BoolVarP(&o.RemoveLinks, "link", "l", false, "Remove the specified link")
	f.BoolVarP(&o.RemoveVolumes, "volumes", "v", false, "Remove anonymous volumes associated with the container")
	return cmd
}
