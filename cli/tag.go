package cli

import (
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newTag(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:         "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
		Short:       "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
		Args:        exactArgs(2),
		Annotations: callable(0, "image tag", "tag"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			_, err = api.ImageTag(cmd.Context(), client.ImageTagOptions{Source: args[0], Target: args[1]})
			return err
		},
		ValidArgsFunction: s.completeImages(2),
	}
}
