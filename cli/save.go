package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/berth-engine/berth/cli/stream"
)

func newSave(s *Session) *cobra.Command {
	var output string
	var only opts.Platforms
	cmd := &cobra.Command{
		Use:         "save [OPTIONS] IMAGE [IMAGE...]",
		Short:       "Save one or more images to a tar archive (streamed to STDOUT by default)",
		Args:        someArgs,
		Annotations: callable(0, "image save", "save"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.save(cmd.Context(), args, output, only)
		},
		ValidArgsFunction: s.completeImages(-1),
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	f.Var(&only, "platform", `Save only the given platform(s). Formatted as a comma-separated list of "os[/arch[/variant]]" (e.g., "linux/amd64,linux/arm64/v8")`)
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
	_ = cmd.MarkFlagFilename("output", "tar")
	return cmd
}

func (s *Session) save(ctx context.Context, names []string, output string, only []ocispec.Platform) error {
	if output == "" && s.IO.OutTTY() {
		return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
	}
	if output != "" {
		if _, err := outputPath(output); err != nil {
			return fmt.Errorf("failed to save image: %w", err)
		}
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	var call []client.ImageSaveOption
	if len(only) > 0 {
		call = append(call, client.ImageSaveWithPlatforms(only...))
	}
	body, err := api.ImageSave(ctx, names, call...)
	if err != nil {
		return err
	}
	defer body.Close()
	if output == "" {
		_, err := io.Copy(s.IO.Out, body)
		return err
	}
	return saveStream(output, body)
}

func newLoad(s *Session) *cobra.Command {
	var o loadFlags
	cmd := &cobra.Command{
		Use:         "load [OPTIONS]",
		Short:       "Load an image from a tar archive or STDIN",
		Args:        noArgs,
		Annotations: callable(0, "image load", "load"),
		RunE:        func(cmd *cobra.Command, _ []string) error { return s.load(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.input, "input", "i", "", "Read from tar archive file, instead of STDIN")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress the load output")
	f.Var(&o.only, "platform", `Load only the given platform(s). Formatted as a comma-separated list of "os[/arch[/variant]]" (e.g., "linux/amd64,linux/arm64/v8")`)
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
	_ = cmd.MarkFlagFilename("input", "tar")
	return cmd
}

type loadFlags struct {
	input string
	quiet bool
	only  opts.Platforms
}

func (s *Session) load(ctx context.Context, o loadFlags) error {
	in := s.IO.In
	switch {
	case o.input != "":
		f, err := os.Open(o.input)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	case s.IO.InTTY():
		return errors.New("requested load from stdin, but stdin is empty")
	}
	quiet := o.quiet || !s.IO.OutTTY()
	call := []client.ImageLoadOption{client.ImageLoadWithQuiet(quiet)}
	if len(o.only) > 0 {
		call = append(call, client.ImageLoadWithPlatforms(o.only...))
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	body, err := api.ImageLoad(ctx, in, call...)
	if err != nil {
		return err
	}
	defer body.Close()
	return stream.Terminal(s.IO.Out).Show(stream.Messages(body))
}
