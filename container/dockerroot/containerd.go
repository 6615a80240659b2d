package dockerroot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/berth-engine/berth/image/layout"
)

// namespace is what Docker calls its part of containerd.
const namespace = "moby"

// containerd is the image store of a containerd that does not run. Its methods
// may be called on nil: then there is none.
type containerd struct {
	root   string
	db     *bolt.DB
	locked error // why it cannot be read; images and containers in there are lost
}

// openContainerd finds the store. Where it was not asked for by name it is no
// error if that cannot be opened: many have a containerd beside Docker that
// Docker keeps no images in.
func (r *Root) openContainerd(asked string) (*containerd, error) {
	roots := []string{asked}
	if asked == "" {
		roots = []string{r.in("containerd", "daemon"), filepath.Join(filepath.Dir(r.dir), "containerd")}
	}
	for _, root := range roots {
		path := filepath.Join(root, "io.containerd.metadata.v1.bolt", "meta.db")
		if _, err := os.Stat(path); missing(err) {
			continue
		}
		db, err := openDB(path)
		if errors.Is(err, berrors.ErrTimeout) {
			err = fmt.Errorf("containerd is running on %s: stop it first: %w", root, errdefs.ErrFailedPrecondition)
		}
		if err != nil && asked != "" {
			return nil, err
		}
		return &containerd{root, db, err}, nil
	}
	if asked != "" {
		return nil, fmt.Errorf("%s is not the root of a containerd: %w", asked, errdefs.ErrInvalidArgument)
	}
	return nil, nil //nolint:nilnil // there is none
}

func (c *containerd) close() error {
	if c == nil || c.db == nil {
		return nil
	}
	return c.db.Close()
}

// images lists what Docker keeps in the store.
func (c *containerd) images(ctx context.Context) ([]Image, error) {
	if c == nil || c.db == nil {
		return nil, nil
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	records, err := metadata.NewImageStore(metadata.NewDB(c.db, nil, nil)).List(ctx)
	if err != nil {
		return nil, err
	}
	byTarget := map[digest.Digest]*Image{}
	var order []digest.Digest
	for _, rec := range records {
		i := byTarget[rec.Target.Digest]
		if i == nil {
			i = &Image{ID: rec.Target.Digest.String(), Archive: c.archive(rec.Target)}
			byTarget[rec.Target.Digest] = i
			order = append(order, rec.Target.Digest)
		}
		// Those that lost their name are kept under "moby-dangling@DIGEST".
		if named, err := reference.ParseNormalizedNamed(rec.Name); err == nil && tagged(named) {
			i.Names = append(i.Names, reference.FamiliarString(named))
		}
	}
	list := make([]Image, 0, len(order))
	for _, id := range order {
		slices.Sort(byTarget[id].Names)
		list = append(list, *byTarget[id])
	}
	return list, nil
}

func tagged(n reference.Named) bool {
	_, tag := n.(reference.Tagged)
	_, digested := n.(reference.Digested)
	return tag && !digested
}

// archive writes an image with what is there of it.
func (c *containerd) archive(target ocispec.Descriptor) func(context.Context, io.Writer, []string) error {
	return func(ctx context.Context, w io.Writer, names []string) error {
		full := make([]string, 0, len(names))
		for _, n := range names {
			named, err := reference.ParseNormalizedNamed(n)
			if err != nil {
				return err
			}
			full = append(full, named.String())
		}
		desc := ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
		return layout.Write(ctx, blobs(filepath.Join(c.root, "io.containerd.content.v1.content", "blobs")), w, []layout.Image{{Target: desc, Names: full}})
	}
}
