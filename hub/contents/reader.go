// Package contents tells what an image holds: configuration, the steps that
// made it, layers, files and packages, and what two images differ in. It reads
// the registry's storage, and reads a blob only for a repository that links it.
//
// Images are strangers' work: each reading is bounded in bytes, entries and
// time, and what exceeds a bound is an error of the kind ResourceExhausted. What
// a layer holds is kept in a cache directory by the layer's digest; the cache
// may be emptied at any time.
package contents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// Reader reads images. Close ends what it still does.
type Reader struct {
	store  distribution.Namespace
	dir    string
	limits Limits

	ctx  context.Context //nolint:containedctx // of the readings, which outlive the request that began them: Close ends it
	stop context.CancelFunc
	busy chan struct{} // one token for each layer that is read at a time
	join chan struct{} // one for each image whose layers are joined, which takes memory

	mu      sync.Mutex
	flights map[digest.Digest]*flight
	wg      sync.WaitGroup
}

// Limits bound the reading of a layer; the zero value means the defaults.
type Limits struct {
	Bytes   int64 // after decompression; 8 GiB
	Ratio   int64 // of decompressed to compressed bytes, from 256 MiB on; 200
	Entries int   // files in a layer, and in an image; 500 000
	Names   int64 // bytes of all names in a layer; 64 MiB
	Cache   int64 // bytes of the cache directory; 512 MiB
}

func (l Limits) withDefaults() Limits {
	def := Limits{Bytes: 8 << 30, Ratio: 200, Entries: 500_000, Names: 64 << 20, Cache: 512 << 20}
	if l.Bytes == 0 {
		l.Bytes = def.Bytes
	}
	if l.Ratio == 0 {
		l.Ratio = def.Ratio
	}
	if l.Entries == 0 {
		l.Entries = def.Entries
	}
	if l.Names == 0 {
		l.Names = def.Names
	}
	if l.Cache == 0 {
		l.Cache = def.Cache
	}
	return l
}

// concurrent is how many layers are read at a time: reading one keeps a
// processor busy.
const concurrent = 2

// joined is how many images' layers are joined at a time.
const joined = 4

// New makes a reader of the registry's storage. dir is its cache; it is made
// when missing.
func New(store distribution.Namespace, dir string, limits Limits) (*Reader, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cache of images' contents: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Reader{
		store: store, dir: dir, limits: limits.withDefaults(), ctx: ctx, stop: stop,
		busy: make(chan struct{}, concurrent), join: make(chan struct{}, joined), flights: map[digest.Digest]*flight{},
	}, nil
}

// Close ends readings and waits for them.
func (r *Reader) Close() error {
	r.stop()
	r.wg.Wait()
	return nil
}

func (r *Reader) repository(ctx context.Context, repo string) (distribution.Repository, error) {
	named, err := reference.WithName(repo)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", repo, errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	repository, err := r.store.Repository(ctx, named)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", repo, err)
	}
	return repository, nil
}

// blob reads a small blob, at most limit bytes.
func (r *Reader) blob(ctx context.Context, repository distribution.Repository, d digest.Digest, limit int64) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d, errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	content, err := repository.Blobs(ctx).Open(ctx, d)
	if err != nil {
		return nil, missing(d, err)
	}
	defer content.Close()
	data, err := io.ReadAll(io.LimitReader(content, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes: %w", d, limit, errdefs.ErrResourceExhausted)
	}
	if d.Algorithm().FromBytes(data) != d {
		return nil, fmt.Errorf("%s is damaged in the store: %w", d, errdefs.ErrDataLoss)
	}
	return data, nil
}

// missing gives an error of the storage its kind.
func missing(d digest.Digest, err error) error {
	if errors.Is(err, distribution.ErrBlobUnknown) {
		return fmt.Errorf("%s: %w", d, errdefs.ErrNotFound)
	}
	if _, ok := errors.AsType[distribution.ErrManifestUnknownRevision](err); ok {
		return fmt.Errorf("%s: %w", d, errdefs.ErrNotFound)
	}
	return fmt.Errorf("read %s: %w", d, err)
}
