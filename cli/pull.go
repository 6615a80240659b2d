package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/berth-engine/berth/cli/settings"
	"github.com/berth-engine/berth/cli/stream"
)

type pullFlags struct {
	all, quiet, untrusted bool
	only                  opts.Platforms
}

func newPull(s *Session) *cobra.Command {
	var o pullFlags
	cmd := &cobra.Command{
		Use:         "pull [OPTIONS] NAME[:TAG|@DIGEST]",
		Short:       "Download an image from a registry",
		Args:        exactArgs(1),
		Annotations: callable(5, "image pull", "pull"),
		RunE:        func(cmd *cobra.Command, args []string) error { return s.pullNamed(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all-tags", "a", false, "Download all tagged images in the repository")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress verbose output")
	trustFlag(f, &o.untrusted)
	f.Var(&o.only, "platform", "Set platform if server is multi-platform capable; several are pulled one after the other")
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
	return cmd
}

func (s *Session) pullNamed(ctx context.Context, name string, o pullFlags) error {
	if err := checkTrust(o.untrusted); err != nil {
		return err
	}
	ref, err := s.transferName(name, o.all, o.quiet)
	if err != nil {
		return err
	}
	p := pullOptions{all: o.all, out: s.IO.Out}
	if o.quiet {
		p.out = io.Discard
	}
	if text := os.Getenv("DOCKER_DEFAULT_PLATFORM"); text != "" && len(o.only) == 0 {
		if err := o.only.Set(text); err != nil {
			return err
		}
	}
	platforms := []*ocispec.Platform{nil}
	if len(o.only) > 0 {
		platforms = nil
	}
	for i := range o.only {
		platforms = append(platforms, &o.only[i])
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	for _, p.platform = range platforms {
		if err := s.pull(ctx, api, ref.String(), p); err != nil {
			return err
		}
	}
	fmt.Fprintln(s.IO.Out, ref.String())
	return nil
}

// transferName reads the name of what is pulled or pushed: all tags of a
// repository, or one, which is the default one if none is given.
func (s *Session) transferName(name string, all, quiet bool) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	switch {
	case err != nil:
		return nil, err
	case all && !reference.IsNameOnly(ref):
		return nil, errors.New("tag can't be used with --all-tags/-a")
	case !all && reference.IsNameOnly(ref):
		ref = reference.TagNameOnly(ref)
		if t, ok := ref.(reference.Tagged); ok && !quiet {
			fmt.Fprintln(s.IO.Out, "Using default tag:", t.Tag())
		}
	}
	return ref, nil
}

type pullOptions struct {
	all      bool
	platform *ocispec.Platform
	out      io.Writer // gets the progress
}

// pull sends the credentials of the image's registry, and of no other, along.
func (s *Session) pull(ctx context.Context, api *client.Client, image string, o pullOptions) error {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return err
	}
	auth, err := s.registryAuth(reference.Domain(ref))
	if err != nil { // as Docker: what is public needs none
		fmt.Fprintf(s.IO.Err, "Warning: %v\n", err)
	}
	call := client.ImagePullOptions{All: o.all, RegistryAuth: auth}
	if o.platform != nil {
		call.Platforms = []ocispec.Platform{*o.platform}
	}
	resp, err := api.ImagePull(ctx, image, call)
	if err != nil {
		return err
	}
	defer resp.Close()
	if err := stream.Terminal(o.out).Show(resp.JSONMessages(ctx)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// registryAuth is the header value for a registry, empty for none.
func (s *Session) registryAuth(host string) (string, error) {
	c, err := s.settings().Credentials(settings.ServerFor(host))
	if err != nil || c == (registry.AuthConfig{}) {
		return "", err
	}
	return authconfig.Encode(c)
}
