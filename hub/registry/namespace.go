package registry

import (
	"context"
	"io"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"
)

// namespace is distribution's view of the repositories, by the catalogue's
// names.
type namespace struct {
	distribution.Namespace
	r *Registry
}

func newNamespace(_ context.Context, inner distribution.Namespace, d driver.StorageDriver, options map[string]any) (distribution.Namespace, error) {
	r := options["registry"].(*Registry)
	r.inner, r.driver = inner, d
	return namespace{inner, r}, nil
}

func storageName(c catalog.Repository) (reference.Named, error) { return reference.WithName(c.Storage) }

// Repository opens a repository for a request, whose rights are checked by now.
// The first write makes it.
func (n namespace) Repository(ctx context.Context, name reference.Named) (distribution.Repository, error) {
	rq := requestOf(ctx)
	by := rq.identity.Principal
	var found catalog.Repository
	var err error
	switch rq.method {
	case "POST", "PUT", "PATCH":
		found, err = n.r.o.Catalog.Ensure(ctx, by, name.Name())
	default:
		found, _, err = n.r.o.Catalog.Find(ctx, by, name.Name())
	}
	if err != nil {
		rq.writer.last = true // distribution writes this error twice
		return nil, failure(err, errcode.ErrorCodeNameUnknown.WithDetail(map[string]string{"name": name.Name()}))
	}
	stored, err := storageName(found)
	if err != nil {
		return nil, err
	}
	inner, err := n.Namespace.Repository(ctx, stored)
	if err != nil {
		return nil, err
	}
	return &repository{Repository: inner, name: name, catalogued: found, r: n.r, rq: rq, by: by}, nil
}

// failure is an error as distribution passes it on; missing is for what is not
// there.
func failure(err error, missing errcode.Error) errcode.Error {
	switch {
	case errdefs.IsNotFound(err):
		return missing
	case errdefs.IsPermissionDenied(err), errdefs.IsFailedPrecondition(err):
		return errcode.ErrorCodeDenied.WithMessage(err.Error())
	case errdefs.IsInvalidArgument(err):
		return errcode.ErrorCodeNameInvalid.WithMessage(err.Error())
	}
	return errcode.ErrorCodeUnknown.WithDetail(err)
}

// Repositories lists names that who asks may read.
func (n namespace) Repositories(ctx context.Context, repos []string, last string) (int, error) {
	list, err := n.r.o.Catalog.List(ctx, requestOf(ctx).identity.Principal, catalog.Query{After: last, Limit: len(repos)})
	if err != nil {
		return 0, err
	}
	for i, c := range list {
		repos[i] = c.Name
	}
	if len(list) < len(repos) {
		return len(list), io.EOF
	}
	return len(list), nil
}

// adopt takes what an earlier Hub without a catalogue stored into an empty one:
// its repositories with their tags, as everybody could read them.
func (r *Registry) adopt(ctx context.Context) error {
	missing, err := r.o.Catalog.Unknown(ctx)
	if err != nil || !missing {
		return err
	}
	all, ok := r.inner.(distribution.RepositoryEnumerator)
	if !ok {
		return nil
	}
	system := account.System("adopt")
	err = all.Enumerate(ctx, func(name string) error {
		if strings.HasPrefix(name, "r/") {
			return nil // of a Hub with a catalogue, which was lost
		}
		c, err := r.o.Catalog.Adopt(ctx, system, name)
		if err != nil {
			return err
		}
		return r.adoptOne(ctx, system, c)
	})
	if _, nothing := err.(driver.PathNotFoundError); nothing { //nolint:errorlint // distribution compares so
		err = nil
	}
	if err != nil {
		return err
	}
	return r.o.Catalog.Known(ctx)
}

func (r *Registry) adoptOne(ctx context.Context, by account.Principal, c catalog.Repository) error {
	inner, err := r.Repository(ctx, c)
	if err != nil {
		return err
	}
	manifests, err := inner.Manifests(ctx)
	if err != nil {
		return err
	}
	tags, err := inner.Tags(ctx).All(ctx)
	if _, none := err.(distribution.ErrRepositoryUnknown); none { //nolint:errorlint // distribution compares so
		return nil
	}
	if err != nil {
		return err
	}
	for _, tag := range tags {
		d, err := inner.Tags(ctx).Get(ctx, tag)
		if err != nil {
			return err
		}
		if err := r.adoptManifest(ctx, by, c, manifests, d.Digest, tag); err != nil {
			return err
		}
	}
	return nil
}
