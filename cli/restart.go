package cli

import (
	"context"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newRestart(s *Session) *cobra.Command {
	var o stopFlags
	cmd := &cobra.Command{
		Use:         "restart [OPTIONS] CONTAINER [CONTAINER...]",
		Short:       "Restart one or more containers",
		Args:        someArgs,
		Annotations: callable(0, "container restart", "restart"),
		RunE: func(cmd *cobra.Command, args []string) error {
			timeout, err := o.given(cmd.Flags())
			if err != nil {
				return err
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				_, err := api.ContainerRestart(ctx, name, client.ContainerRestartOptions{Signal: o.signal, Timeout: timeout})
				return err
			})
		},
		ValidArgsFunction: s.completeContainers(-1, true, nil),
	}
	o.add(cmd)
	return cmd
}
