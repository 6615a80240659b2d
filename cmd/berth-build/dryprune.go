package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/opts"
	"github.com/docker/go-units"
	"github.com/moby/buildkit/client"
	dclient "github.com/moby/moby/client"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berth-engine/berth/build/sweep"
)

// prunePreview is for the removal of what builds have cached. It needs nothing
// of a builder but the list of its cache, so that it works with all of them.
func prunePreview(cmd *cobra.Command, docker command.Cli) error {
	o, err := pruneInfo(cmd.Flags(), docker)
	if err != nil {
		return err
	}
	nodes, err := loadNodes(cmd.Context(), cmd, docker)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, n := range nodes {
		if n.Driver == nil {
			continue
		}
		c, err := n.Driver.Client(cmd.Context())
		if err != nil {
			return err
		}
		all, err := c.DiskUsage(cmd.Context())
		if err != nil {
			return err
		}
		list, err := sweep.Foretell(all, o, 0, time.Now())
		if err != nil {
			return err
		}
		for _, r := range list {
			total += r.Size
			fmt.Fprintf(docker.Out(), "Would remove build cache: %s (%s, %s)\n", r.ID, r.RecordType, units.HumanSize(float64(r.Size)))
		}
	}
	fmt.Fprintln(docker.Out(), "Total space that would be reclaimed:", units.HumanSize(float64(total)))
	return nil
}

// pruneInfo reads the flags of buildx's prune as it does itself.
func pruneInfo(f *pflag.FlagSet, docker command.Cli) (o client.PruneInfo, err error) {
	if o.All, err = f.GetBool("all"); err != nil {
		return o, err
	}
	for name, into := range map[string]*int64{"reserved-space": &o.ReservedSpace, "max-used-space": &o.MaxUsedSpace, "min-free-space": &o.MinFreeSpace} {
		v, ok := f.Lookup(name).Value.(*opts.MemBytes)
		if !ok {
			return o, fmt.Errorf("--%s is not a number of bytes in this buildx", name)
		}
		*into = v.Value()
	}
	if o.MinFreeSpace != 0 {
		return o, errors.New("--dry-run cannot tell what --min-free-space needs: builders do not say how much of their disk is free")
	}
	v, ok := f.Lookup("filter").Value.(*opts.FilterOpt)
	if !ok {
		return o, errors.New("--filter is no filter in this buildx")
	}
	filter, age, err := pruneFilter(command.PruneFilters(docker, v.Value()))
	o.Filter, o.KeepDuration = []string{filter}, age
	return o, err
}

// pruneFilter puts filters in BuildKit's words.
func pruneFilter(f dclient.Filters) (filter string, age time.Duration, err error) {
	if len(f["until"]) > 0 && len(f["unused-for"]) > 0 {
		return "", 0, errors.New(`conflicting filters "until" and "unused-for"`)
	}
	var parts []string
	for key, values := range f {
		if len(values) > 1 {
			return "", 0, fmt.Errorf("%q filter expects only one value", key)
		}
		if len(values) == 0 {
			parts = append(parts, key)
		}
		for value := range values {
			switch {
			case key == "until" || key == "unused-for":
				if age, err = time.ParseDuration(value); err != nil {
					return "", 0, fmt.Errorf("%q filter expects a duration (e.g., '24h'): %w", key, err)
				}
			case key == "id":
				parts = append(parts, key+"~="+value)
			case strings.HasSuffix(key, "!"), strings.HasSuffix(key, "~"):
				parts = append(parts, key+"="+value)
			default:
				parts = append(parts, key+"=="+value)
			}
		}
	}
	return strings.Join(parts, ","), age, nil
}
