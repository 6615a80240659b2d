package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/berth-engine/berth/api"
	"github.com/docker/go-units"
	"github.com/moby/moby/client"
	"github.com/spf13/pflag"
)

func dryRunFlag(f *pflag.FlagSet, v *bool) {
	f.BoolVar(v, "dry-run", false, "Only show what would be removed")
}

// wouldRemove asks what a removal would take away. what is the path below
// /removal.
func (s *Session) wouldRemove(ctx context.Context, what string, query url.Values) (api.Removal, error) {
	var r api.Removal
	err := s.call(ctx, http.MethodGet, "/removal/"+what, query, nil, &r)
	return r, err
}

// wouldPrune is wouldRemove for what filters select.
func (s *Session) wouldPrune(ctx context.Context, what string, filters client.Filters) (api.Removal, error) {
	text, err := json.Marshal(filters)
	if err != nil {
		return api.Removal{}, err
	}
	return s.wouldRemove(ctx, what, url.Values{"filters": {string(text)}})
}

// showRemoval prints what would go, one thing on each line.
func (s *Session) showRemoval(r api.Removal) {
	for _, c := range r.Containers {
		how := ""
		if c.Kill {
			how = " (after killing it)"
		}
		fmt.Fprintf(s.IO.Out, "Would remove container: %s %s%s\n", c.ID[:min(12, len(c.ID))], c.Name, how)
	}
	for _, i := range r.Images {
		if i.Untagged != "" {
			fmt.Fprintln(s.IO.Out, "Would untag image:", i.Untagged)
		} else {
			fmt.Fprintln(s.IO.Out, "Would remove image:", i.Deleted)
		}
	}
	for _, n := range r.Networks {
		fmt.Fprintln(s.IO.Out, "Would remove network:", n)
	}
	for _, v := range r.Volumes {
		fmt.Fprintln(s.IO.Out, "Would remove volume:", v)
	}
	for _, c := range r.BuildCache {
		fmt.Fprintf(s.IO.Out, "Would remove build cache: %s (%s, %s)\n", c.ID, c.Type, units.HumanSize(float64(c.Size)))
	}
}

// showReclaimable prints what would go, and how much space that has.
func (s *Session) showReclaimable(list ...api.Removal) {
	sum := uint64(0)
	for _, r := range list {
		s.showRemoval(r)
		sum += r.SpaceReclaimed
	}
	fmt.Fprintln(s.IO.Out, "Total space that would be reclaimed:", units.HumanSize(float64(sum)))
}

// dryRun shows for each name what its removal would take away.
func (s *Session) dryRun(ctx context.Context, kind string, names []string, query url.Values) error {
	var errs []error
	for _, name := range names {
		r, err := s.wouldRemove(ctx, kind+"/"+url.PathEscape(name), query)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.showRemoval(r)
	}
	return errors.Join(errs...)
}

// onFlags makes the parameters of flags that are on.
func onFlags(flags map[string]bool) url.Values {
	q := url.Values{}
	for name, on := range flags {
		if on {
			q.Set(name, "1")
		}
	}
	return q
}
