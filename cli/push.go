package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/auxprogress"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/berth-engine/berth/cli/stream"
)

type pushFlags struct {
	all, quiet bool
	platform   string
}

func newPush(s *Session) *cobra.Command {
	var o pushFlags
	cmd := &cobra.Command{
		Use:               "push [OPTIONS] NAME[:TAG]",
		Short:             "Upload an image to a registry",
		Args:              exactArgs(1),
		Annotations:       callable(6, "image push", "push"),
		RunE:              func(cmd *cobra.Command, args []string) error { return s.push(cmd.Context(), args[0], o) },
		ValidArgsFunction: s.completeImages(1),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all-tags", "a", false, "Push all tags of an image to the repository")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress verbose output")
	f.Bool("disable-content-trust", true, "Skip image signing")
	f.StringVar(&o.platform, "platform", os.Getenv("DOCKER_DEFAULT_PLATFORM"),
		"Push a platform-specific manifest as a single-platform image to the registry. "+
			"The image index won't be pushed, meaning that other manifests, including attestations won't be preserved")
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
	return cmd
}

func (s *Session) push(ctx context.Context, name string, o pushFlags) error {
	ref, err := s.transferName(name, o.all, o.quiet)
	if err != nil {
		return err
	}
	call := client.ImagePushOptions{All: o.all}
	if o.platform != "" {
		if call.Platform, err = opts.ParsePlatform(o.platform); err != nil {
			return err
		}
	}
	if call.RegistryAuth, err = s.registryAuth(reference.Domain(ref)); err != nil {
		return err
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	resp, err := api.ImagePush(ctx, ref.String(), call)
	if err != nil {
		return err
	}
	defer resp.Close()
	out := s.IO.Out
	if o.quiet {
		out = io.Discard
	}
	var notes []string
	if err := stream.Terminal(out).Show(pushNotes(resp.JSONMessages(ctx), &notes)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	if o.quiet {
		fmt.Fprintln(s.IO.Out, ref.String())
	}
	for _, n := range notes {
		fmt.Fprintln(s.IO.Err, n)
	}
	return nil
}

// pushNotes passes messages on and collects what the user should be told at the
// end.
func pushNotes(messages iter.Seq2[jsonstream.Message, error], notes *[]string) iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for m, err := range messages {
			if m.Aux != nil {
				var note auxprogress.ManifestPushedInsteadOfIndex
				if json.Unmarshal(*m.Aux, &note) == nil && note.ManifestPushedInsteadOfIndex {
					*notes = append(*notes, fmt.Sprintf("\nInfo: Not all multiplatform-content is present and only the available single-platform image was pushed\n  %s -> %s",
						note.OriginalIndex.Digest, note.SelectedManifest.Digest))
				}
			}
			if !yield(m, err) {
				return
			}
		}
	}
}
