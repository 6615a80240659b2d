package cli

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/image"
	"github.com/spf13/cobra"
)

func newImagePin(s *Session) *cobra.Command {
	return s.keepVerb("pin", "Keep images from being removed by image-gc and prunes")
}

func newImageUnpin(s *Session) *cobra.Command {
	return s.keepVerb("unpin", "Let image-gc and prunes remove images again")
}

func (s *Session) keepVerb(verb, short string) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " IMAGE [IMAGE...]",
		Short: short,
		Args:  someArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			for _, name := range names {
				if err := s.call(cmd.Context(), http.MethodPost, "/images/"+url.PathEscape(name)+"/"+verb, nil, nil, nil); err != nil {
					return err
				}
				fmt.Fprintln(s.IO.Out, name)
			}
			return nil
		},
		ValidArgsFunction: s.completeImages(-1),
	}
}

func newImageGC(s *Session) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "gc [OPTIONS]",
		Short: "Remove images as the daemon's image-gc says, now",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry {
				r, err := s.wouldRemove(cmd.Context(), "unused-images", nil)
				if err == nil {
					s.showReclaimable(r)
				}
				return err
			}
			var report image.PruneReport
			if err := s.call(cmd.Context(), http.MethodPost, "/images/collect", nil, nil, &report); err != nil {
				return err
			}
			s.deletedImages(report.ImagesDeleted)
			s.reclaimed(report.SpaceReclaimed)
			return nil
		},
	}
	dryRunFlag(cmd.Flags(), &dry)
	return cmd
}
