package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
)

// inspectable are the kinds of objects that inspect knows.
var inspectable = []string{"container", "image", "network", "volume"}

func newInspect(s *Session) *cobra.Command {
	var (
		text, kind string
		size       bool
	)
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] NAME|ID [NAME|ID...]",
		Short: "Return low-level information on objects",
		Args:  someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case kind == "" && cmd.Flags().Changed("type"):
				return errors.New(`type is empty: must be one of "container", "image", "network", "volume"`)
			case kind != "" && !slices.Contains(inspectable, kind):
				return fmt.Errorf(`unknown type: %q: must be one of "container", "image", "network", "volume"`, kind)
			}
			return s.inspect(cmd.Context(), args, text, func(ctx context.Context, api *client.Client, name string) (format.Found, error) {
				return s.inspectAny(ctx, api, name, kind, size)
			})
		},
		ValidArgsFunction: s.completeObjects,
	}
	f := cmd.Flags()
	f.StringVarP(&text, "format", "f", "", inspectFormatHelp)
	f.BoolVarP(&size, "size", "s", false, "Display total file sizes if the type is container")
	f.StringVar(&kind, "type", "", "Only inspect objects of the given type")
	_ = cmd.RegisterFlagCompletionFunc("type", completeWords(inspectable...))
	return cmd
}

func newContainerInspect(s *Session) *cobra.Command {
	var (
		text string
		size bool
	)
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] CONTAINER [CONTAINER...]",
		Short: "Display detailed information on one or more containers",
		Args:  someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.inspect(cmd.Context(), args, text, func(ctx context.Context, api *client.Client, name string) (format.Found, error) {
				return inspectContainer(ctx, api, name, size)
			})
		},
		ValidArgsFunction: s.completeContainers(-1, true, nil),
	}
	f := cmd.Flags()
	f.StringVarP(&text, "format", "f", "", inspectFormatHelp)
	f.BoolVarP(&size, "size", "s", false, "Display total file sizes")
	return cmd
}

func newImageInspect(s *Session) *cobra.Command {
	var text, platform string
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] IMAGE [IMAGE...]",
		Short: "Display detailed information on one or more images",
		Args:  someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var p *ocispec.Platform
			if platform != "" {
				var err error
				if p, err = opts.ParsePlatform(platform); err != nil {
					return err
				}
			}
			return s.inspect(cmd.Context(), args, text, func(ctx context.Context, api *client.Client, name string) (format.Found, error) {
				return inspectImage(ctx, api, name, p)
			})
		},
		ValidArgsFunction: s.completeImages(-1),
	}
	f := cmd.Flags()
	f.StringVarP(&text, "format", "f", "", inspectFormatHelp)
	f.StringVar(&platform, "platform", "", `Inspect a specific platform of the multi-platform image.
If the image or the server is not multi-platform capable, the command will error out if the platform does not match.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)`)
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
	return cmd
}

func (s *Session) inspect(ctx context.Context, names []string, text string, get func(context.Context, *client.Client, string) (format.Found, error)) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	err = format.Inspect(s.IO.Out, names, text, func(name string) (format.Found, error) { return get(ctx, api, name) })
	if errors.Is(err, format.ErrTemplate) {
		return &statusError{64, err}
	}
	return err
}

// inspectAny tries the kinds of objects in turn.
func (s *Session) inspectAny(ctx context.Context, api *client.Client, name, kind string, size bool) (format.Found, error) {
	if kind == "" || kind == "container" {
		f, err := inspectContainer(ctx, api, name, size)
		if err == nil || kind == "container" || !skippable(err) {
			return f, err
		}
	}
	found := "image"
	f, err := format.Found{}, error(nil)
	if kind == "" || kind == "image" {
		f, err = inspectImage(ctx, api, name, nil)
	}
	if kind == "network" || kind == "" && err != nil && skippable(err) {
		found = "network"
		f, err = inspectNetwork(ctx, api, name, false)
	}
	if kind == "volume" || kind == "" && err != nil && skippable(err) {
		found = "volume"
		f, err = inspectVolume(ctx, api, name)
	}
	switch {
	case err == nil && size:
		fmt.Fprintln(s.IO.Err, "WARNING: --size ignored for", found)
	case err != nil && kind == "" && skippable(err):
		err = fmt.Errorf("Error: No such object: %s", name)
	}
	return f, err
}

func inspectContainer(ctx context.Context, api *client.Client, name string, size bool) (format.Found, error) {
	r, err := api.ContainerInspect(ctx, name, client.ContainerInspectOptions{Size: size})
	return format.Found{Value: r.Container, Raw: r.Raw}, err
}

func inspectImage(ctx context.Context, api *client.Client, name string, p *ocispec.Platform) (format.Found, error) {
	var raw bytes.Buffer
	r, err := api.ImageInspect(ctx, name, client.ImageInspectWithRawResponse(&raw), client.ImageInspectWithPlatform(p))
	return format.Found{Value: r.InspectResponse, Raw: raw.Bytes()}, err
}

// skippable errors mean that the name is of another kind.
func skippable(err error) bool {
	return cerrdefs.IsNotFound(err) || strings.Contains(err.Error(), "invalid reference format")
}
