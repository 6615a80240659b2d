package cli

import (
	"context"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newPause(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:         "pause CONTAINER [CONTAINER...]",
		Short:       "Pause all processes within one or more containers",
		Args:        someArgs,
		Annotations: callable(0, "container pause", "pause"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				_, err := api.ContainerPause(ctx, name, client.ContainerPauseOptions{})
				return err
			})
		},
		ValidArgsFunction: s.completeContainers(-1, false, func(c container.Summary) bool { return c.State != container.StatePaused }),
	}
}
