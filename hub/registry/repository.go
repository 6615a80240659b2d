package registry

import (
	"context"
	"errors"
	"net/http"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/token"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// repository is one repository while a request is served.
type repository struct {
	distribution.Repository
	name       reference.Named
	catalogued catalog.Repository
	r          *Registry
	rq         *request
	by         account.Principal
	tagged     string // the tag that Put has moved
}

// Named is the name that the client used.
func (r *repository) Named() reference.Named { return r.name }

// refused answers a change that the catalogue does not allow, for which
// distribution's handlers of deletions would take the blame themselves.
func (r *repository) refused(err error) error {
	switch {
	case errdefs.IsPermissionDenied(err):
		token.Fail(r.rq.writer, http.StatusForbidden, "DENIED", err.Error())
		r.rq.writer.complete = true
	case errdefs.IsNotFound(err): // a right that was taken away just now
		token.Fail(r.rq.writer, http.StatusNotFound, "NAME_UNKNOWN", err.Error())
		r.rq.writer.complete = true
	}
	return err
}

// Blobs are the storage's, with mounts by the catalogue's names.
func (r *repository) Blobs(ctx context.Context) distribution.BlobStore {
	return &blobs{r.Repository.Blobs(ctx), r}
}

type blobs struct {
	distribution.BlobStore
	r *repository
}

// Create begins an upload or mounts. A mount from what may not be read becomes
// an upload, which tells nothing.
func (b *blobs) Create(ctx context.Context, options ...distribution.BlobCreateOption) (distribution.BlobWriter, error) {
	w, err := b.BlobStore.Create(ctx, append(options, mount{ctx, b.r})...)
	if err == nil {
		return upload{w, b.r}, nil
	}
	var mounted distribution.ErrBlobMounted
	if errors.As(err, &mounted) {
		b.r.r.emit(ctx, Event{
			Action: "mount", Repo: b.r.catalogued, Digest: mounted.Descriptor.Digest.String(), Size: mounted.Descriptor.Size, Principal: b.r.by,
		})
	}
	return w, err
}

// Resume goes on with an upload.
func (b *blobs) Resume(ctx context.Context, id string) (distribution.BlobWriter, error) {
	w, err := b.BlobStore.Resume(ctx, id)
	if err != nil {
		return nil, err
	}
	return upload{w, b.r}, nil
}

// Stat tells whether a blob is there. Who asks without fetching it is about to
// push.
func (b *blobs) Stat(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	if b.r.rq.method != http.MethodGet {
		if err := b.r.r.relies(ctx, d); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	return b.BlobStore.Stat(ctx, d)
}

// upload is a blob that is being written.
type upload struct {
	distribution.BlobWriter
	r *repository
}

// Commit ends the upload.
func (u upload) Commit(ctx context.Context, provisional ocispec.Descriptor) (ocispec.Descriptor, error) {
	if err := u.r.r.relies(ctx, provisional.Digest); err != nil {
		return ocispec.Descriptor{}, err
	}
	return u.BlobWriter.Commit(ctx, provisional)
}

// mount is an option that turns a mount's source into the storage's name.
type mount struct {
	ctx context.Context //nolint:containedctx // an option lives as long as the call that it is made for
	r   *repository
}

// Apply changes distribution.CreateOptions.
func (m mount) Apply(v any) error {
	o, ok := v.(*distribution.CreateOptions)
	if !ok || !o.Mount.ShouldMount {
		return nil
	}
	o.Mount.ShouldMount = false
	if m.r.rq.noMount {
		return nil
	}
	source, _, err := m.r.r.o.Catalog.Find(m.ctx, m.r.by, o.Mount.From.Name())
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	name, err := storageName(source)
	if err != nil {
		return err
	}
	if o.Mount.From, err = reference.WithDigest(name, o.Mount.From.Digest()); err != nil {
		return err
	}
	o.Mount.ShouldMount = true
	return m.r.r.relies(m.ctx, o.Mount.From.Digest())
}
