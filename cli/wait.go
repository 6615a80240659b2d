package cli

import (
	"errors"
	"fmt"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newWait(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:         "wait CONTAINER [CONTAINER...]",
		Short:       "Block until one or more containers stop, then print their exit codes",
		Args:        someArgs,
		Annotations: callable(0, "container wait", "wait"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			var errs []error
			for _, name := range args {
				w := api.ContainerWait(cmd.Context(), name, client.ContainerWaitOptions{})
				select {
				case r := <-w.Result:
					fmt.Fprintln(s.IO.Out, r.StatusCode)
				case err := <-w.Error:
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		},
		ValidArgsFunction: s.completeContainers(-1, false, nil),
	}
}
