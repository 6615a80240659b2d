package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newImagePrune(s *Session) *cobra.Command {
	var all bool
	p := prune{kind: "image", short: "Remove unused images"}
	p.choose = func(filter *opts.Filter) error {
		filter.Add("dangling", strconv.FormatBool(!all))
		return nil
	}
	p.what = func(client.Filters) string {
		if all {
			return "all images without at least one container associated to them."
		}
		return "all dangling images."
	}
	p.do = s.pruneImages
	cmd := p.command(s)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "Remove all unused images, not just dangling ones")
	return cmd
}

func (s *Session) pruneImages(ctx context.Context, api *client.Client, filters client.Filters) error {
	r, err := api.ImagePrune(ctx, client.ImagePruneOptions{Filters: filters})
	if err == nil {
		s.deletedImages(r.Report.ImagesDeleted)
		s.reclaimed(r.Report.SpaceReclaimed)
	}
	return err
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
