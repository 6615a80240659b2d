package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func newKill(s *Session) *cobra.Command {
	var signal string
	cmd := &cobra.Command{
		Use:         "kill [OPTIONS] CONTAINER [CONTAINER...]",
		Short:       "Kill one or more running containers",
		Args:        someArgs,
		Annotations: callable(0, "container kill", "kill"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				return s.killer(api, name)(ctx, signal)
			})
		},
		ValidArgsFunction: s.completeContainers(-1, false, nil),
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", "", "Signal to send to the container")
	_ = cmd.RegisterFlagCompletionFunc("signal", completeSignals)
	return cmd
}
