package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
)

type searchFlags struct {
	filter  opts.Filter
	format  string
	limit   int
	noTrunc bool
}

func newSearch(s *Session) *cobra.Command {
	var o searchFlags
	cmd := &cobra.Command{
		Use:         "search [OPTIONS] TERM",
		Short:       "Search a registry for images",
		Args:        exactArgs(1),
		Annotations: callable(10, "search"),
		RunE:        func(cmd *cobra.Command, args []string) error { return s.search(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	filterFlag(f, &o.filter)
	f.StringVar(&o.format, "format", "", "Pretty-print search using a Go template")
	f.IntVar(&o.limit, "limit", 0, "Max number of search results")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	_ = cmd.RegisterFlagCompletionFunc("filter", completeWords("is-official=true", "is-official=false", "stars="))
	return cmd
}

func (s *Session) search(ctx context.Context, term string, o searchFlags) error {
	host := "docker.io"
	if first, _, found := strings.Cut(term, "/"); found && (first == "localhost" || strings.ContainsAny(first, ".:")) {
		host = first
	}
	auth, err := s.registryAuth(host)
	if err != nil {
		return err
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	found, err := api.ImageSearch(ctx, term, client.ImageSearchOptions{RegistryAuth: auth, Filters: o.filter.Values, Limit: o.limit})
	if err != nil {
		return err
	}
	slices.SortStableFunc(found.Items, func(a, b registry.SearchResult) int { return b.StarCount - a.StarCount })
	text := o.format
	if text == "" || text == format.Table {
		text = format.SearchTable
	}
	return format.List(s.IO.Out, text, format.SearchHeader, format.Search(found.Items, !o.noTrunc))
}
