package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/util/db"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"github.com/berth-engine/berth/image/store"
)

// historySuffix is what BuildKit appends to the namespace of the content for that
// of its records of builds.
const historySuffix = "_history"

// history keeps the records of builds that have ended, and their logs: apart from
// the images. Each build writes some fifteen times there before its client is
// answered, and nothing of it is worth a wait for the disk: after a power failure the
// last records may be missing or, if they cannot be read, all.
type history struct {
	records db.DB
	meta    *metadata.DB
	bolt    *bolt.DB
	leases  leases.Manager
	content content.Store
}

// openHistory opens what is in dir, or makes it. What cannot be read is removed.
func openHistory(ctx context.Context, dir string) (*history, error) {
	h, err := tryHistory(ctx, dir)
	if err == nil {
		return h, nil
	}
	if rmErr := os.RemoveAll(dir); rmErr != nil {
		return nil, errors.Join(err, rmErr)
	}
	return tryHistory(ctx, dir)
}

func tryHistory(ctx context.Context, dir string) (_ *history, err error) {
	h := &history{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the history of builds: %w", err), h.Close())
		}
	}()
	blobs, err := local.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		return nil, err
	}
	o := bolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, Timeout: time.Second}
	if h.bolt, err = bolt.Open(filepath.Join(dir, "metadata.db"), 0o600, &o); err != nil {
		return nil, err
	}
	h.meta = metadata.NewDB(h.bolt, store.NewSpooling(blobs, filepath.Join(dir, "content"), false), nil)
	if err := h.meta.Init(ctx); err != nil {
		return nil, err
	}
	h.content, h.leases = h.meta.ContentStore(), metadata.NewLeaseManager(h.meta)
	h.records, err = boltutil.SafeOpen(filepath.Join(dir, "history.db"), 0o600, &o)
	return h, err
}

// Close closes all but the records, which BuildKit closes.
func (h *history) Close() error {
	if h.meta != nil {
		return errors.Join(h.meta.Close(), h.bolt.Close())
	}
	if h.bolt != nil {
		return h.bolt.Close()
	}
	return nil
}

// Collect removes what no record refers to.
func (h *history) Collect(ctx context.Context) error {
	_, err := h.meta.GarbageCollect(ctx)
	return err
}

// isHistory tells whether a context is of the namespace of the records.
func isHistory(ctx context.Context, ns string) bool {
	name, _ := namespaces.Namespace(ctx)
	return name == ns+historySuffix
}

// beside is a content store that has the namespace of the history elsewhere.
type beside struct {
	images, history content.Store
	ns              string // of the images
}

func (b beside) of(ctx context.Context) content.Store {
	if isHistory(ctx, b.ns) {
		return b.history
	}
	return b.images
}

func (b beside) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	return b.of(ctx).Info(ctx, d)
}

func (b beside) Update(ctx context.Context, info content.Info, fields ...string) (content.Info, error) {
	return b.of(ctx).Update(ctx, info, fields...)
}

func (b beside) Walk(ctx context.Context, fn content.WalkFunc, filters ...string) error {
	return b.of(ctx).Walk(ctx, fn, filters...)
}
func (b beside) Delete(ctx context.Context, d digest.Digest) error { return b.of(ctx).Delete(ctx, d) }
func (b beside) Status(ctx context.Context, ref string) (content.Status, error) {
	return b.of(ctx).Status(ctx, ref)
}

func (b beside) ListStatuses(ctx context.Context, filters ...string) ([]content.Status, error) {
	return b.of(ctx).ListStatuses(ctx, filters...)
}
func (b beside) Abort(ctx context.Context, ref string) error { return b.of(ctx).Abort(ctx, ref) }
func (b beside) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	return b.of(ctx).ReaderAt(ctx, desc)
}

func (b beside) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	return b.of(ctx).Writer(ctx, opts...)
}

// leasesBeside is the same of the leases.
type leasesBeside struct {
	images, history leases.Manager
	ns              string
}

func (b leasesBeside) of(ctx context.Context) leases.Manager {
	if isHistory(ctx, b.ns) {
		return b.history
	}
	return b.images
}

func (b leasesBeside) Create(ctx context.Context, opts ...leases.Opt) (leases.Lease, error) {
	return b.of(ctx).Create(ctx, opts...)
}

func (b leasesBeside) Delete(ctx context.Context, l leases.Lease, opts ...leases.DeleteOpt) error {
	return b.of(ctx).Delete(ctx, l, opts...)
}

func (b leasesBeside) List(ctx context.Context, filters ...string) ([]leases.Lease, error) {
	return b.of(ctx).List(ctx, filters...)
}

func (b leasesBeside) AddResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	return b.of(ctx).AddResource(ctx, l, r)
}

func (b leasesBeside) DeleteResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	return b.of(ctx).DeleteResource(ctx, l, r)
}

func (b leasesBeside) ListResources(ctx context.Context, l leases.Lease) ([]leases.Resource, error) {
	return b.of(ctx).ListResources(ctx, l)
}

// dropOldHistory removes the records that were kept among the images before.
func dropOldHistory(ctx context.Context, root string, m leases.Manager, ns string) error {
	old := filepath.Join(root, "history.db")
	if _, err := os.Stat(old); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	ctx = namespaces.WithNamespace(ctx, ns+historySuffix)
	list, err := m.List(ctx)
	if err != nil {
		return err
	}
	for _, l := range list {
		if err := m.Delete(ctx, l); err != nil {
			return err
		}
	}
	return os.Remove(old)
}
