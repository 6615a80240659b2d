package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type imagesFlags struct {
	all, digests, noTrunc, quiet, tree bool
	format                             string
	filter                             opts.Filter
}

// newImageLs makes "ls" below "image".
func newImageLs(s *Session) *cobra.Command {
	cmd := newImages(s)
	cmd.Use, cmd.Aliases = "ls [OPTIONS] [REPOSITORY[:TAG]]", []string{"list"}
	return cmd
}

func newImages(s *Session) *cobra.Command {
	var o imagesFlags
	cmd := &cobra.Command{
		Use:         "images [OPTIONS] [REPOSITORY[:TAG]]",
		Short:       "List images",
		Args:        optionalArg,
		Annotations: callable(7, "image ls", "image list", "images"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := append(args, "")[0]
			return s.images(cmd.Context(), o, name, cmd.CalledAs() == "images")
		},
		ValidArgsFunction: s.completeImages(1),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "Show all images (default hides intermediate images)")
	f.BoolVar(&o.digests, "digests", false, "Show digests")
	filterFlag(f, &o.filter)
	f.StringVar(&o.format, "format", "", formatHelp)
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Only show image IDs")
	f.BoolVar(&o.tree, "tree", false, "List multi-platform images as a tree")
	_ = cmd.RegisterFlagCompletionFunc("filter", completeWords("before=", "dangling=true", "dangling=false", "label=", "reference=", "since=", "until="))
	return cmd
}

func (s *Session) images(ctx context.Context, o imagesFlags, name string, bare bool) error {
	if name != "" {
		o.filter.Add("reference", name)
	}
	if o.tree {
		return s.imageTree(ctx, o)
	}
	text := o.format
	if text == "" && !o.quiet {
		text = s.settings().ImagesFormat
	}
	digests := o.digests || strings.Contains(text, "{{.Digest}}")
	switch isTable := text == "" || text == format.Table; {
	case isTable && o.quiet:
		text = "{{.ID}}"
	case text == format.Raw:
		text = format.ImageRaw(o.quiet, o.digests)
	case isTable && o.digests:
		text = format.ImageDigestTable
	case isTable:
		text = format.ImageTable
	case o.digests && strings.HasPrefix(text, format.Table) && !strings.Contains(text, "{{.Digest}}"):
		text += "\t{{.Digest}}"
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	list, err := api.ImageList(ctx, client.ImageListOptions{All: o.all, Filters: o.filter.Values})
	if err != nil {
		return err
	}
	rows := format.Images(list.Items, !o.noTrunc, digests, time.Now())
	if err := format.List(s.IO.Out, text, format.ImageHeader, rows); err != nil {
		return err
	}
	verbs := []string{"history", "inspect", "list", "ls", "pull", "rm", "tag"}
	if bare && len(list.Items) == 0 && slices.Contains(verbs, name) {
		fmt.Fprintf(s.IO.Err, "\nNo images found matching %q: did you mean \"berth image %[1]s\"?\n", name)
	}
	return nil
}

// imageTree lists images with their platforms.
func (s *Session) imageTree(ctx context.Context, o imagesFlags) error {
	for name, given := range map[string]bool{"quiet": o.quiet, "no-trunc": o.noTrunc, "digests": o.digests, "format": o.format != ""} {
		if given {
			return fmt.Errorf("--%s is not supported with --tree", name)
		}
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	list, err := api.ImageList(ctx, client.ImageListOptions{All: o.all, Filters: o.filter.Values, Manifests: true})
	if err != nil {
		return err
	}
	if dangling, asked := o.filter.Values["dangling"]; !o.all && (!asked || dangling["false"]) {
		list.Items = slices.DeleteFunc(list.Items, func(i image.Summary) bool { return len(i.RepoTags) == 0 })
	}
	return format.ImageTree(s.IO.Out, list.Items)
}
