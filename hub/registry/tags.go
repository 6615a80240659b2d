package registry

import (
	"context"
	"io"

	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Tags are the catalogue's.
func (r *repository) Tags(context.Context) distribution.TagService { return tags{r} }

type tags struct{ r *repository }

// Get returns what a tag leads to.
func (t tags) Get(ctx context.Context, tag string) (ocispec.Descriptor, error) {
	found, err := t.r.r.o.Catalog.Tag(ctx, t.r.catalogued, tag)
	if errdefs.IsNotFound(err) {
		return ocispec.Descriptor{}, distribution.ErrTagUnknown{Tag: tag}
	}
	return ocispec.Descriptor{MediaType: found.MediaType, Digest: digest.Digest(found.Digest), Size: found.Size}, err
}

// Tag moves a tag, unless the manifest's Put has done so.
func (t tags) Tag(ctx context.Context, tag string, desc ocispec.Descriptor) error {
	if t.r.tagged == tag {
		return nil
	}
	c, err := t.r.r.o.Catalog.Retag(ctx, t.r.by, t.r.catalogued.Name, tag, desc.Digest.String(), "push")
	if err == nil {
		t.r.r.changed(ctx, c)
	}
	return err
}

// Untag removes a tag.
func (t tags) Untag(ctx context.Context, tag string) error {
	c, err := t.r.r.o.Catalog.Untag(ctx, t.r.by, t.r.catalogued, tag)
	if errdefs.IsNotFound(err) {
		return distribution.ErrTagUnknown{Tag: tag}
	}
	if err != nil {
		return t.r.refused(err)
	}
	t.r.r.changed(ctx, c)
	return nil
}

// All lists all tags.
func (t tags) All(ctx context.Context) ([]string, error) {
	all, err := t.List(ctx, -1, "")
	if err == io.EOF { //nolint:errorlint // List returns it as it is
		err = nil
	}
	return all, err
}

// Lookup lists the tags that lead to a manifest.
func (t tags) Lookup(ctx context.Context, d ocispec.Descriptor) ([]string, error) {
	return t.r.r.o.Catalog.TagsOf(ctx, t.r.catalogued, d.Digest.String())
}

// List returns up to limit tags after one, in order; io.EOF when these are the
// last.
func (t tags) List(ctx context.Context, limit int, last string) ([]string, error) {
	more := limit
	if more > 0 {
		more++
	}
	found, err := t.r.r.o.Catalog.Tags(ctx, t.r.catalogued, last, more)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, tag := range found {
		names = append(names, tag.Name)
	}
	if limit > 0 && len(names) > limit {
		return names[:limit], nil
	}
	return names, io.EOF
}
