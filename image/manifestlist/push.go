package manifestlist

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Push sends a list; manifests of other repositories of the registry are taken into
// its own before. With purge the list is forgotten then.
func (l Lists) Push(ctx context.Context, target string, purge bool) error {
	list, err := parse(target)
	if err != nil {
		return err
	}
	entries, err := l.store().list(list)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("%s not found", list)
	}
	for _, e := range entries {
		if p := e.Descriptor.Platform; p == nil || p.OS == "" || p.Architecture == "" {
			return fmt.Errorf("manifest %s must have an OS and Architecture to be pushed to a registry", e.Ref)
		}
	}
	mediaType, raw, err := assemble(list, entries)
	if err != nil {
		return err
	}
	for i := range entries {
		if err := l.bring(ctx, list, &entries[i]); err != nil {
			return err
		}
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := l.Registry.Put(ctx, list, desc, raw); err != nil {
		return err
	}
	fmt.Fprintln(l.Out, desc.Digest)
	if purge {
		return l.store().remove(list)
	}
	return nil
}

// bring makes a manifest be in the list's repository.
func (l Lists) bring(ctx context.Context, list reference.Named, e *Entry) error {
	from, err := reference.ParseNormalizedNamed(e.Ref)
	if err != nil || from.Name() == list.Name() {
		return err
	}
	raw, err := e.bytes()
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("%s: %w", e.Ref, err)
	}
	for _, blob := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if len(blob.URLs) > 0 {
			continue // it is elsewhere
		}
		if err := l.Registry.Mount(ctx, list, from, blob); err != nil {
			return fmt.Errorf("error mounting %s of %s to %s: %w", blob.Digest, from, list, err)
		}
	}
	ref, err := reference.WithDigest(reference.TrimNamed(list), e.Descriptor.Digest)
	if err != nil {
		return err
	}
	if err := l.Registry.Put(ctx, ref, e.Descriptor, raw); err != nil {
		return err
	}
	fmt.Fprintf(l.Out, "Pushed ref %s with digest: %s\n", ref, e.Descriptor.Digest)
	return nil
}
