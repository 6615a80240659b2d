package cli

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/docker/go-units"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newPrune(s *Session) *cobra.Command {
	var (
		force, dry bool
		filter     opts.Filter
	)
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS]",
		Short: "Remove all stopped containers",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.addPruneFilters(&filter)
			if dry {
				r, err := s.wouldPrune(cmd.Context(), "containers", filter.Values)
				if err == nil {
					s.showReclaimable(r)
				}
				return err
			}
			if !force && !s.confirm("WARNING! This will remove all stopped containers.\nAre you sure you want to continue?") {
				return errors.New("container prune has been cancelled")
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			r, err := api.ContainerPrune(cmd.Context(), client.ContainerPruneOptions{Filters: filter.Values})
			if err != nil {
				return err
			}
			if ids := r.Report.ContainersDeleted; len(ids) > 0 {
				fmt.Fprintf(s.IO.Out, "Deleted Containers:\n%s\n\n", strings.Join(ids, "\n"))
			}
			fmt.Fprintln(s.IO.Out, "Total reclaimed space:", units.HumanSize(float64(r.Report.SpaceReclaimed)))
			return nil
		},
	}
	f := cmd.Flags()
	dryRunFlag(f, &dry)
	f.Var(&filter, "filter", `Provide filter values (e.g. "until=<timestamp>")`)
	f.BoolVarP(&force, "force", "f", false, "Do not prompt for confirmation")
	return cmd
}

// addPruneFilters adds the filters of the user's settings, except those that
// the command line contradicts.
func (s *Session) addPruneFilters(filter *opts.Filter) {
	given := maps.Clone(filter.Values)
	for _, p := range s.settings().PruneFilters {
		name, value, ok := strings.Cut(p, "=")
		opposite := name + "!"
		if base, not := strings.CutSuffix(name, "!"); not {
			opposite = base
		}
		if !ok || given[opposite][value] {
			continue
		}
		filter.Add(name, value)
	}
}

// confirm asks; anything but y or Y is no.
func (s *Session) confirm(question string) bool {
	fmt.Fprint(s.IO.Out, question+" [y/N] ")
	line, _ := bufio.NewReader(s.IO.In).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(line), "y")
}
