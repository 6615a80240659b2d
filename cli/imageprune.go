package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newImagePrune(s *Session) *cobra.Command {
	var (
		all, force, dry bool
		filter          opts.Filter
	)
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS]",
		Short: "Remove unused images",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.addPruneFilters(&filter)
			filter.Add("dangling", strconv.FormatBool(!all))
			if dry {
				r, err := s.wouldPrune(cmd.Context(), "images", filter.Values)
				if err == nil {
					s.showReclaimable(r)
				}
				return err
			}
			what := "all dangling images."
			if all {
				what = "all images without at least one container associated to them."
			}
			if !force && !s.confirm("WARNING! This will remove "+what+"\nAre you sure you want to continue?") {
				return errors.New("image prune has been cancelled")
			}
			return s.pruneImages(cmd.Context(), filter.Values)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all", "a", false, "Remove all unused images, not just dangling ones")
	dryRunFlag(f, &dry)
	f.Var(&filter, "filter", `Provide filter values (e.g. "until=<timestamp>")`)
	f.BoolVarP(&force, "force", "f", false, "Do not prompt for confirmation")
	return cmd
}

func (s *Session) pruneImages(ctx context.Context, filters client.Filters) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	r, err := api.ImagePrune(ctx, client.ImagePruneOptions{Filters: filters})
	if err != nil {
		return err
	}
	s.deletedImages(r.Report.ImagesDeleted)
	fmt.Fprintln(s.IO.Out, "Total reclaimed space:", units.HumanSize(float64(r.Report.SpaceReclaimed)))
	return nil
}

func (s *Session) deletedImages(list []image.DeleteResponse) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(s.IO.Out, "Deleted Images:")
	for _, d := range list {
		if d.Untagged != "" {
			fmt.Fprintln(s.IO.Out, "untagged:", d.Untagged)
		} else {
			fmt.Fprintln(s.IO.Out, "deleted:", d.Deleted)
		}
	}
	fmt.Fprintln(s.IO.Out)
}
