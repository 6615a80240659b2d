package contents

import (
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// version is part of the cached files' names: what another version wrote is not
// read.
const version = ".1"

// deadline bounds the reading of one layer.
const deadline = 10 * time.Minute

// flight is a layer that is being read; done is closed when the rest is set.
type flight struct {
	done chan struct{}
	list *listing
	err  error
}

// ErrReading says that a layer is still being read when the context of the
// request ended; what has been begun goes on, so that it pays to ask again.
var ErrReading = errors.New("the image is being read; ask again in a moment")

// layer tells what a layer of a repository holds. Whoever asks first has it
// read; everybody waits no longer than their context.
func (r *Reader) layer(ctx context.Context, repository distribution.Repository, d digest.Digest) (*listing, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("layer %q: %w", d, err)
	}
	// The cache knows no repositories: without this question, a manifest that
	// names another's layer would open it (CVE-2024-39897).
	stat, err := repository.Blobs(ctx).Stat(ctx, d)
	if err != nil {
		return nil, missing(d, err)
	}
	if l, err := r.load(d); err == nil {
		return l, nil
	}
	f := r.fly(repository, d, stat.Size)
	select {
	case <-f.done:
		return f.list, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("layer %s: %w", d, errors.Join(ErrReading, ctx.Err()))
	}
}

func (r *Reader) fly(repository distribution.Repository, d digest.Digest, size int64) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[d]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	r.flights[d] = f
	r.wg.Go(func() {
		defer func() {
			r.mu.Lock()
			delete(r.flights, d)
			r.mu.Unlock()
			close(f.done)
		}()
		f.list, f.err = r.read(repository, d, size)
	})
	return f
}

func (r *Reader) read(repository distribution.Repository, d digest.Digest, size int64) (*listing, error) {
	ctx, cancel := context.WithTimeout(r.ctx, deadline)
	defer cancel()
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	blob, err := repository.Blobs(ctx).Open(ctx, d)
	if err != nil {
		return nil, missing(d, err)
	}
	defer blob.Close()
	l, err := r.limits.list(ctx, blob, size)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", d, err)
	}
	if err := r.save(d, l); err != nil {
		return nil, fmt.Errorf("remember layer %s: %w", d, err)
	}
	return l, nil
}

func (r *Reader) path(d digest.Digest) string {
	return filepath.Join(r.dir, d.Algorithm().String()+"-"+d.Encoded()+version)
}

func (r *Reader) load(d digest.Digest) (*listing, error) {
	file, err := os.Open(r.path(d))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	packed, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	l := &listing{}
	if err := gob.NewDecoder(packed).Decode(l); err != nil {
		return nil, err
	}
	now := time.Now()
	_ = os.Chtimes(file.Name(), now, now) // the order in which trim forgets; nothing else depends on it
	return l, nil
}

// save writes beside and renames, so that load finds all or nothing.
func (r *Reader) save(d digest.Digest, l *listing) (err error) {
	file, err := os.CreateTemp(r.dir, "new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
		}
	}()
	packed, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := gob.NewEncoder(packed).Encode(l); err != nil {
		return errors.Join(err, packed.Close())
	}
	if err := errors.Join(packed.Close(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), r.path(d)); err != nil {
		return err
	}
	return r.trim()
}

// trim forgets what was not asked for the longest, once the cache is too large.
func (r *Reader) trim() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		files, total = append(files, info), total+info.Size()
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, f := range files {
		if total <= r.limits.Cache {
			break
		}
		if err := os.Remove(filepath.Join(r.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.Size()
	}
	return nil
}
