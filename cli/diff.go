package cli

import (
	"github.com/berth-engine/berth/cli/format"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newDiff(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:         "diff CONTAINER",
		Short:       "Inspect changes to files or directories on a container's filesystem",
		Args:        exactArgs(1),
		Annotations: callable(0, "container diff", "diff"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			r, err := api.ContainerDiff(cmd.Context(), args[0], client.ContainerDiffOptions{})
			if err != nil {
				return err
			}
			return format.List(s.IO.Out, format.DiffPlain, nil, format.Changes(r.Changes))
		},
		ValidArgsFunction: s.completeContainers(1, true, nil),
	}
}
