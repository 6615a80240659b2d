package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/cli/opts"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type systemPruneFlags struct {
	all, force, volumes, dry bool
	filter                   opts.Filter
}

func newSystemPrune(s *Session) *cobra.Command {
	var o systemPruneFlags
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS]",
		Short: "Remove unused data",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, until := o.filter.Values["until"]; until && o.volumes {
				return errors.New(`ERROR: The "until" filter is not supported with "--volumes"`)
			}
			s.addPruneFilters(&o.filter)
			if o.dry {
				return s.systemPruneDry(cmd.Context(), o)
			}
			if !o.force && !s.confirm(o.question()) {
				return errors.New("system prune has been cancelled")
			}
			return s.systemPrune(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "Remove all unused images not just dangling ones")
	dryRunFlag(f, &o.dry)
	f.Var(&o.filter, "filter", `Provide filter values (e.g. "label=<key>=<value>")`)
	f.BoolVarP(&o.force, "force", "f", false, "Do not prompt for confirmation")
	f.BoolVar(&o.volumes, "volumes", false, "Prune anonymous volumes")
	return cmd
}

// question is Docker's, word for word.
func (o *systemPruneFlags) question() string {
	text := "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n"
	if o.volumes {
		text += "  - all anonymous volumes not used by at least one container\n"
	}
	if o.all {
		text += "  - all images without at least one container associated to them\n  - all build cache\n"
	} else {
		text += "  - all dangling images\n  - unused build cache\n"
	}
	var filters []string
	for _, name := range []string{"label", "label!", "until"} {
		for v := range o.filter.Values[name] {
			filters = append(filters, name+"="+v)
		}
	}
	if len(filters) > 0 {
		slices.Sort(filters)
		text += "\n  Items to be pruned will be filtered with:\n  - " + strings.Join(filters, "\n  - ") + "\n"
	}
	return text + "\nAre you sure you want to continue?"
}

// with is the filters and one more.
func with(f client.Filters, name, value string) client.Filters {
	out := client.Filters{}
	maps.Copy(out, f)
	return out.Add(name, value)
}

func (s *Session) systemPruneDry(ctx context.Context, o systemPruneFlags) error {
	containers, err := s.wouldPrune(ctx, "containers", o.filter.Values)
	if err != nil {
		return err
	}
	networks, err := s.wouldPrune(ctx, "networks", o.filter.Values)
	if err != nil {
		return err
	}
	list := []api.Removal{containers, networks}
	if o.volumes {
		r, err := s.wouldPrune(ctx, "volumes", o.filter.Values)
		if err != nil {
			return err
		}
		list = append(list, r)
	}
	images, err := s.wouldPrune(ctx, "images", with(o.filter.Values, "dangling", strconv.FormatBool(!o.all)))
	if err != nil {
		return err
	}
	text, err := json.Marshal(o.filter.Values)
	if err != nil {
		return err
	}
	query := onFlags(map[string]bool{"all": o.all})
	query.Set("filters", string(text))
	cache, err := s.wouldRemove(ctx, "build-cache", query)
	if err != nil {
		return err
	}
	s.showReclaimable(append(list, images, cache)...)
	fmt.Fprintln(s.IO.Out, "What only these containers use would go as well; it is not counted.")
	return nil
}

// systemPrune goes from what uses to what is used. What a daemon does not have
// yet (501) is passed over.
func (s *Session) systemPrune(ctx context.Context, o systemPruneFlags) error {
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	f := o.filter.Values
	sum := uint64(0)
	containers, err := c.ContainerPrune(ctx, client.ContainerPruneOptions{Filters: f})
	if err != nil {
		return err
	}
	deleted(s, "Containers", containers.Report.ContainersDeleted)
	sum += containers.Report.SpaceReclaimed
	networks, err := c.NetworkPrune(ctx, client.NetworkPruneOptions{Filters: f})
	if err != nil && !cerrdefs.IsNotImplemented(err) {
		return err
	}
	deleted(s, "Networks", networks.Report.NetworksDeleted)
	if o.volumes {
		volumes, err := c.VolumePrune(ctx, client.VolumePruneOptions{Filters: f})
		if err != nil {
			return err
		}
		deleted(s, "Volumes", volumes.Report.VolumesDeleted)
		sum += volumes.Report.SpaceReclaimed
	}
	images, err := c.ImagePrune(ctx, client.ImagePruneOptions{Filters: with(f, "dangling", strconv.FormatBool(!o.all))})
	if err != nil {
		return err
	}
	s.deletedImages(images.Report.ImagesDeleted)
	sum += images.Report.SpaceReclaimed
	cache, err := c.BuildCachePrune(ctx, client.BuildCachePruneOptions{All: o.all, Filters: f})
	if err != nil && !cerrdefs.IsNotImplemented(err) {
		return err
	}
	deleted(s, "build cache objects", cache.Report.CachesDeleted)
	sum += cache.Report.SpaceReclaimed
	s.reclaimed(sum)
	return nil
}
