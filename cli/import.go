package cli

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/berth-engine/berth/cli/stream"
)

type importFlags struct {
	changes           opts.List
	message, platform string
}

func newImport(s *Session) *cobra.Command {
	var o importFlags
	cmd := &cobra.Command{
		Use:         "import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
		Short:       "Import the contents from a tarball to create a filesystem image",
		Args:        oneOrTwoArgs,
		Annotations: callable(0, "image import", "import"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.importImage(cmd.Context(), args[0], append(args, "")[1], o)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := cmd.Flags()
	f.VarP(&o.changes, "change", "c", "Apply Dockerfile instruction to the created image")
	f.StringVarP(&o.message, "message", "m", "", "Set commit message for imported image")
	platformFlag(cmd, &o.platform, os.Getenv("DOCKER_DEFAULT_PLATFORM"))
	return cmd
}

// importImage sends a file or the input, or lets the daemon fetch a URL.
func (s *Session) importImage(ctx context.Context, source, ref string, o importFlags) error {
	src := client.ImageImportSource{SourceName: source}
	switch {
	case source == "-":
		src.Source = s.IO.In
	case strings.HasPrefix(source, "http://"), strings.HasPrefix(source, "https://"):
	default:
		f, err := os.Open(source)
		if err != nil {
			return err
		}
		defer f.Close()
		src = client.ImageImportSource{Source: f, SourceName: "-"}
	}
	if src.Source == nil {
		src.Source = strings.NewReader("")
	}
	call := client.ImageImportOptions{Message: o.message, Changes: o.changes.Values}
	if o.platform != "" {
		p, err := opts.ParsePlatform(o.platform)
		if err != nil {
			return err
		}
		call.Platform = *p
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	body, err := api.ImageImport(ctx, src, ref, call)
	if err != nil {
		return err
	}
	defer body.Close()
	return stream.Terminal(s.IO.Out).Show(stream.Messages(io.Reader(body)))
}
