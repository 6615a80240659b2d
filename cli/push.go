package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/auxprogress"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/berth-engine/berth/cli/stream"
)

type pushFlags struct {
	all, quiet, unsigned bool
	only                 opts.Platforms
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
	trustFlag(f, &o.unsigned)
	f.Lookup("disable-content-trust").Usage = "Skip image signing"
	f.Var(&o.only, "platform", "Push a platform-specific manifest as a single-platform image to the registry. "+
		"The image index won't be pushed, meaning that other manifests, including attestations won't be preserved. "+
		"Several, separated by commas, are pushed with an index of their own")
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
	return cmd
}

func (s *Session) push(ctx context.Context, name string, o pushFlags) error {
	if !o.unsigned {
		return errors.New("content trust: images cannot be signed with Notary; unset DOCKER_CONTENT_TRUST and do not give --disable-content-trust=false")
	}
	ref, err := s.transferName(name, o.all, o.quiet)
	if err != nil {
		return err
	}
	call := client.ImagePushOptions{All: o.all}
	if text := os.Getenv("DOCKER_DEFAULT_PLATFORM"); text != "" && len(o.only) == 0 {
		if err := o.only.Set(text); err != nil {
			return err
		}
	}
	if len(o.only) == 1 {
		call.Platform = &o.only[0]
	}
	if call.RegistryAuth, err = s.registryAuth(reference.Domain(ref)); err != nil {
		return err
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	var messages iter.Seq2[jsonstream.Message, error]
	if len(o.only) > 1 {
		body, err := s.pushPlatforms(ctx, ref, call, o.only)
		if err != nil {
			return err
		}
		defer body.Close()
		messages = stream.Messages(body)
	} else {
		resp, err := api.ImagePush(ctx, ref.String(), call)
		if err != nil {
			return err
		}
		defer resp.Close()
		messages = resp.JSONMessages(ctx)
	}
	out := s.IO.Out
	if o.quiet {
		out = io.Discard
	}
	var notes []string
	if err := stream.Terminal(out).Show(pushNotes(messages, &notes)); err != nil {
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

// pushPlatforms asks for what moby's client does not know: an index with some of
// an image's platforms.
func (s *Session) pushPlatforms(ctx context.Context, ref reference.Named, o client.ImagePushOptions, only []ocispec.Platform) (io.ReadCloser, error) {
	query := url.Values{}
	if t, ok := ref.(reference.Tagged); ok {
		query.Set("tag", t.Tag())
	}
	for _, p := range only {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		query.Add("platform", string(text))
	}
	return s.requestWith(ctx, http.MethodPost, "/images/"+ref.Name()+"/push", query, http.Header{registry.AuthHeader: {o.RegistryAuth}}, nil)
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
