package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/docker/go-units"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

// A prune is a command that removes what is not used.
type prune struct {
	kind  string // "container"
	short string
	// choose adds what the command's own flags ask for to the filters; nil: nothing.
	choose func(*opts.Filter) error
	// what will be removed, as the question has it.
	what func(client.Filters) string
	// do removes it and tells what that was.
	do func(context.Context, *client.Client, client.Filters) error
	// example is a filter for the help; empty: "until=<timestamp>".
	example string
	// unsized: nobody knows how much space becomes free.
	unsized bool
}

// command makes the command, to which flags of its own may be added.
func (p *prune) command(s *Session) *cobra.Command {
	var (
		force, dry bool
		filter     opts.Filter
	)
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS]",
		Short: p.short,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.addPruneFilters(&filter)
			if p.choose != nil {
				if err := p.choose(&filter); err != nil {
					return err
				}
			}
			if dry {
				return p.dry(cmd.Context(), s, filter.Values)
			}
			if !force && !s.confirm("WARNING! This will remove "+p.what(filter.Values)+"\nAre you sure you want to continue?") {
				return errors.New(p.kind + " prune has been cancelled")
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			return p.do(cmd.Context(), api, filter.Values)
		},
	}
	f := cmd.Flags()
	dryRunFlag(f, &dry)
	f.Var(&filter, "filter", fmt.Sprintf("Provide filter values (e.g. %q)", cmp.Or(p.example, "until=<timestamp>")))
	f.BoolVarP(&force, "force", "f", false, "Do not prompt for confirmation")
	return cmd
}

func (p *prune) dry(ctx context.Context, s *Session, filters client.Filters) error {
	r, err := s.wouldPrune(ctx, p.kind+"s", filters)
	switch {
	case err != nil:
		return err
	case p.unsized:
		s.showRemoval(r)
	default:
		s.showReclaimable(r)
	}
	return nil
}

func newPrune(s *Session) *cobra.Command {
	p := prune{kind: "container", short: "Remove all stopped containers"}
	p.what = func(client.Filters) string { return "all stopped containers." }
	p.do = func(ctx context.Context, api *client.Client, filters client.Filters) error {
		r, err := api.ContainerPrune(ctx, client.ContainerPruneOptions{Filters: filters})
		if err == nil {
			deleted(s, "Containers", r.Report.ContainersDeleted)
			s.reclaimed(r.Report.SpaceReclaimed)
		}
		return err
	}
	return p.command(s)
}

// deleted lists what a prune removed.
func deleted(s *Session, what string, list []string) {
	if len(list) > 0 {
		fmt.Fprintf(s.IO.Out, "Deleted %s:\n%s\n\n", what, strings.Join(list, "\n"))
	}
}

// reclaimed ends the answer of a prune.
func (s *Session) reclaimed(bytes uint64) {
	fmt.Fprintln(s.IO.Out, "Total reclaimed space:", units.HumanSize(float64(bytes)))
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
