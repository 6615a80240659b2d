package manifestlist

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Registry is what the verbs need of registries.
type Registry interface {
	// Manifest fetches the manifest or index that a reference stands for.
	Manifest(ctx context.Context, ref reference.Named) (ocispec.Descriptor, []byte, error)
	// Config fetches a small blob of the reference's repository.
	Config(ctx context.Context, ref reference.Named, desc ocispec.Descriptor) ([]byte, error)
	// Mount makes a blob of one repository of a registry be in another, too.
	Mount(ctx context.Context, to, from reference.Named, desc ocispec.Descriptor) error
	// Put sends a manifest, under the tag or the digest of the reference.
	Put(ctx context.Context, ref reference.Named, desc ocispec.Descriptor, raw []byte) error
}

// Lists are one user's lists.
type Lists struct {
	Dir      string // "manifests" in the folder of the client's configuration
	Registry Registry
	Out      io.Writer
}

func (l Lists) store() store { return store{l.Dir} }

func parse(ref string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, err
	}
	if _, digested := named.(reference.Canonical); digested {
		return named, nil
	}
	return reference.TagNameOnly(named), nil
}

// Create begins a list, or with amend goes on with one.
func (l Lists) Create(ctx context.Context, target string, refs []string, amend bool) error {
	list, err := parse(target)
	if err != nil {
		return fmt.Errorf("error parsing name for manifest list %s: %w", target, err)
	}
	switch _, err := l.store().list(list); {
	case errdefs.IsNotFound(err):
	case err != nil:
		return err
	case !amend:
		return errors.New("refusing to amend an existing manifest list with no --amend flag")
	}
	for _, text := range refs {
		ref, err := parse(text)
		if err != nil {
			return err
		}
		e, err := l.store().get(list, ref)
		if errdefs.IsNotFound(err) || err == nil && len(e.Raw) == 0 {
			e, err = l.fetch(ctx, ref)
		}
		if err != nil {
			return err
		}
		if err := l.store().save(list, ref, e); err != nil {
			return err
		}
	}
	fmt.Fprintln(l.Out, "Created manifest list", list.String())
	return nil
}

// fetch gets an image's manifest with its platform.
func (l Lists) fetch(ctx context.Context, ref reference.Named) (Entry, error) {
	desc, raw, err := l.Registry.Manifest(ctx, ref)
	if err != nil {
		return Entry{}, err
	}
	e, err := newEntry(ref, ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, raw)
	if err != nil {
		return e, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return e, fmt.Errorf("%s: %w", ref, err)
	}
	config, err := l.Registry.Config(ctx, ref, m.Config)
	if err != nil {
		return e, err
	}
	var c ocispec.Image
	if err := json.Unmarshal(config, &c); err != nil {
		return e, fmt.Errorf("config of %s: %w", ref, err)
	}
	e.Descriptor.Platform = &c.Platform
	return e, nil
}

// Platform is what Annotate says of a manifest; empty members change nothing.
type Platform struct {
	OS, Arch, Variant, OSVersion string
	OSFeatures                   []string
}

// Annotate says for what platform a manifest of a list is.
func (l Lists) Annotate(target, image string, p Platform) error {
	list, err := parse(target)
	if err != nil {
		return fmt.Errorf("annotate: error parsing name for manifest list %s: %w", target, err)
	}
	ref, err := parse(image)
	if err != nil {
		return fmt.Errorf("annotate: error parsing name for manifest %s: %w", image, err)
	}
	e, err := l.store().get(list, ref)
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("manifest for image %s does not exist in %s", image, target)
	}
	if err != nil {
		return err
	}
	if e.Descriptor.Platform == nil {
		e.Descriptor.Platform = &ocispec.Platform{}
	}
	to := e.Descriptor.Platform
	for _, set := range []struct {
		to   *string
		text string
	}{{&to.OS, p.OS}, {&to.Architecture, p.Arch}, {&to.Variant, p.Variant}, {&to.OSVersion, p.OSVersion}} {
		if set.text != "" {
			*set.to = set.text
		}
	}
	for _, f := range p.OSFeatures {
		if !slices.Contains(to.OSFeatures, f) {
			to.OSFeatures = append(to.OSFeatures, f)
		}
	}
	if !known[to.OS+"/"+to.Architecture] {
		return fmt.Errorf("manifest entry for image has unsupported os/arch combination: %s/%s", to.OS, to.Architecture)
	}
	return l.store().save(list, ref, e)
}

// known are the platforms that Docker's command takes.
var known = map[string]bool{
	"darwin/386": true, "darwin/amd64": true, "darwin/arm": true, "darwin/arm64": true, "dragonfly/amd64": true,
	"freebsd/386": true, "freebsd/amd64": true, "freebsd/arm": true, "linux/386": true, "linux/amd64": true, "linux/arm": true,
	"linux/arm64": true, "linux/ppc64le": true, "linux/mips64": true, "linux/mips64le": true, "linux/riscv64": true,
	"linux/s390x": true, "netbsd/386": true, "netbsd/amd64": true, "netbsd/arm": true, "openbsd/386": true, "openbsd/amd64": true,
	"openbsd/arm": true, "plan9/386": true, "plan9/amd64": true, "solaris/amd64": true, "windows/386": true, "windows/amd64": true,
}

// Inspect shows a manifest or list: with a list named, the manifest as the list has
// it; else a list of the user's, or what the registry has.
func (l Lists) Inspect(ctx context.Context, target, image string, verbose bool) error {
	ref, err := parse(image)
	if err != nil {
		return err
	}
	if target != "" {
		list, err := parse(target)
		if err != nil {
			return err
		}
		e, err := l.store().get(list, ref)
		if err != nil {
			return err
		}
		return l.show(e, verbose)
	}
	entries, err := l.store().list(ref)
	if err == nil {
		return l.showList(ref, entries, verbose)
	}
	desc, raw, err := l.Registry.Manifest(ctx, ref)
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("no such manifest: %s", ref)
	}
	if err != nil {
		return err
	}
	if !images.IsIndexType(desc.MediaType) {
		e, err := l.fetch(ctx, ref)
		if err != nil {
			return err
		}
		return l.show(e, verbose)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	for _, d := range index.Manifests {
		one, err := reference.WithDigest(ref, d.Digest)
		if err != nil {
			return err
		}
		_, raw, err := l.Registry.Manifest(ctx, one)
		if err != nil {
			return err
		}
		e, err := newEntry(one, ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: d.Platform}, raw)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	return l.showList(ref, entries, verbose)
}

func (l Lists) show(e Entry, verbose bool) error {
	if verbose {
		return l.print(e)
	}
	raw, err := e.bytes()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "\t"); err != nil {
		return err
	}
	fmt.Fprintln(l.Out, out.String())
	return nil
}

func (l Lists) showList(ref reference.Named, entries []Entry, verbose bool) error {
	if verbose {
		return l.print(entries)
	}
	_, raw, err := assemble(ref, entries)
	if err != nil {
		return err
	}
	fmt.Fprintln(l.Out, string(raw))
	return nil
}

func (l Lists) print(v any) error {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	fmt.Fprintln(l.Out, string(data))
	return nil
}

// Remove forgets lists.
func (l Lists) Remove(targets []string) error {
	return l.each(targets, l.store().remove)
}

// WouldRemove says which lists Remove would take away, and why not others.
func (l Lists) WouldRemove(targets []string) error {
	return l.each(targets, func(list reference.Named) error {
		_, err := fmt.Fprintln(l.Out, "Would remove manifest list:", reference.FamiliarString(list))
		return err
	})
}

// each does something with each of the lists that are here.
func (l Lists) each(targets []string, do func(reference.Named) error) error {
	var errs []error
	for _, t := range targets {
		list, err := parse(t)
		if err == nil {
			_, err = l.store().list(list)
		}
		if err == nil {
			err = do(list)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
