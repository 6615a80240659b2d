package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newCommit(s *Session) *cobra.Command {
	var (
		o       client.ContainerCommitOptions
		changes opts.List
		pause   bool
	)
	cmd := &cobra.Command{
		Use:         "commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
		Short:       "Create a new image from a container's changes",
		Args:        oneOrTwoArgs,
		Annotations: callable(0, "container commit", "commit"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("pause") {
				if cmd.Flags().Changed("no-pause") {
					return errors.New("conflicting options: --no-pause and --pause cannot be used together")
				}
				o.NoPause = !pause
			}
			o.Changes = changes.Values
			if len(args) == 2 {
				o.Reference = args[1]
			}
			return s.commit(cmd.Context(), args[0], o)
		},
		ValidArgsFunction: s.completeContainers(1, true, nil),
	}
	f := cmd.Flags()
	f.StringVarP(&o.Author, "author", "a", "", `Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")`)
	f.VarP(&changes, "change", "c", "Apply Dockerfile instruction to the created image")
	f.StringVarP(&o.Comment, "message", "m", "", "Commit message")
	f.BoolVar(&o.NoPause, "no-pause", false, "Disable pausing container during commit")
	f.BoolVarP(&pause, "pause", "p", true, "Pause container during commit")
	return cmd
}

func (s *Session) commit(ctx context.Context, name string, o client.ContainerCommitOptions) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	r, err := api.ContainerCommit(ctx, name, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.IO.Out, r.ID)
	return nil
}
