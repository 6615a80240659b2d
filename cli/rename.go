package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newRename(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:         "rename CONTAINER NEW_NAME",
		Short:       "Rename a container",
		Args:        exactArgs(2),
		Annotations: callable(0, "container rename", "rename"),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := strings.TrimSpace(args[0]), strings.TrimSpace(args[1])
			if from == "" || to == "" {
				return errors.New("Error: Neither old nor new names may be empty")
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			if _, err := api.ContainerRename(cmd.Context(), from, client.ContainerRenameOptions{NewName: to}); err != nil {
				fmt.Fprintln(s.IO.Err, s.explain(err))
				return fmt.Errorf("Error: failed to rename container named %s", from)
			}
			return nil
		},
		ValidArgsFunction: s.completeContainers(1, true, nil),
	}
}
