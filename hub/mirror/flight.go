package mirror

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// unknownSize is the size of what an upstream sends without a Content-Length.
const unknownSize = -1

// flight is one download that any number of clients read along. The file has
// two names' worth of life: part- until it is whole and right, then its digest.
type flight struct {
	file    *os.File // for reading, by all
	started bool     // file is there, and total is what the upstream said
	total   int64    // unknownSize when it did not say, until all is here

	mu      sync.Mutex
	more    *sync.Cond
	written int64
	readers int
	left    bool // by the last reader: it is being given up
	done    bool
	err     error
	cancel  context.CancelFunc
}

func (s *Service) blobPath(m Mirror, d digest.Digest) string {
	return filepath.Join(s.Dir, m.ID, d.Algorithm().String()+"-"+d.Encoded())
}

// open gives a blob's content: the file that is kept, or a download that is
// under way or begins now. Close it.
func (s *Service) open(ctx context.Context, m Mirror, repository string, d digest.Digest) (io.ReadSeekCloser, error) {
	path := s.blobPath(m, d)
	if f, err := os.Open(path); err == nil {
		used(path)
		return f, nil
	}
	u, err := s.upstream(m)
	if err != nil {
		return nil, err
	}
	// Only what the same repository's clients ask for is shared before it is
	// here: the upstream decided for that one.
	key := repository + "@" + d.String()
	u.mu.Lock()
	f := u.flights[key]
	if f == nil || !f.join() {
		f = &flight{total: unknownSize, readers: 1}
		f.more = sync.NewCond(&f.mu)
		life, cancel := context.WithCancel(u.life)
		f.cancel = cancel
		u.flights[key] = f
		go func() {
			defer cancel()
			err := s.download(life, u, f, repository, d, path)
			u.mu.Lock()
			if u.flights[key] == f {
				delete(u.flights, key)
			}
			u.mu.Unlock()
			f.end(err)
		}()
	}
	u.mu.Unlock()
	r := &reader{flight: f, ctx: ctx, leave: context.AfterFunc(ctx, f.more.Broadcast)}
	if err := f.begun(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// download writes a blob to its place.
func (s *Service) download(ctx context.Context, u *upstream, f *flight, repository string, d digest.Digest, path string) error {
	resp, err := u.get(ctx, http.MethodGet, repository, "blobs/"+d.String(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	size := resp.ContentLength
	if size > u.mirror.Capacity {
		return fmt.Errorf("the upstream registry announces a blob of %d bytes, of %d that may be kept: %w", size, u.mirror.Capacity, errdefs.ErrUnavailable)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(path), "part-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	in, err := os.Open(out.Name())
	if err != nil {
		return err
	}
	f.begin(in, size)
	sum := d.Algorithm().Hash()
	most := size
	if size < 0 {
		size, most = unknownSize, u.mirror.Capacity
	}
	n, err := io.Copy(&progress{out: out, sum: sum, flight: f}, io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return fmt.Errorf("the upstream registry: %w", unavailable(err))
	case n > most && size == unknownSize:
		return fmt.Errorf("the upstream registry sends more than the %d bytes that may be kept: %w", most, errdefs.ErrUnavailable)
	case size == unknownSize:
		size = n
	}
	if n != size || digest.NewDigest(d.Algorithm(), sum) != d {
		return fmt.Errorf("the upstream registry sent something else than %s: %w", d, errdefs.ErrUnavailable)
	}
	if err := errors.Join(out.Sync(), os.Rename(out.Name(), path)); err != nil {
		return err
	}
	return s.evict(u.mirror, path)
}

type progress struct {
	out    io.Writer
	sum    hash.Hash
	flight *flight
}

func (p *progress) Write(b []byte) (int, error) {
	n, err := p.out.Write(b)
	p.sum.Write(b[:n])
	p.flight.mu.Lock()
	p.flight.written += int64(n)
	p.flight.mu.Unlock()
	p.flight.more.Broadcast()
	return n, err
}

func (f *flight) begin(file *os.File, total int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.file, f.total, f.started = file, max(total, unknownSize), true
	f.more.Broadcast()
}

func (f *flight) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done, f.err = true, err
	f.more.Broadcast()
	f.closeUnused()
}

// closeUnused closes the file once nobody needs it. f.mu is held.
func (f *flight) closeUnused() {
	if f.done && f.readers == 0 && f.file != nil {
		_ = f.file.Close() // it was only read
		f.file = nil
	}
}

// join adds a reader, unless the download is being given up or has failed.
func (f *flight) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left || f.done {
		return false
	}
	f.readers++
	return true
}

// begun waits until the content begins to come.
func (f *flight) begun(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.started && !f.done && ctx.Err() == nil {
		f.more.Wait()
	}
	if f.err != nil {
		return f.err
	}
	return ctx.Err()
}

// reader is one client's view of a flight; io.Seeker for http.ServeContent.
type reader struct {
	flight *flight
	ctx    context.Context //nolint:containedctx // of the request that reads
	leave  func() bool
	at     int64
	closed bool
}

func (r *reader) Read(p []byte) (int, error) {
	f := r.flight
	f.mu.Lock()
	for {
		// The last byte is held back until the digest is known to be right.
		ready := f.written - 1
		if f.total >= 0 {
			ready = min(f.written, f.total-1)
		}
		if f.done && f.err == nil {
			ready = f.written
		}
		switch {
		case r.ctx.Err() != nil:
			f.mu.Unlock()
			return 0, r.ctx.Err()
		case f.err != nil:
			f.mu.Unlock()
			return 0, f.err
		case r.at >= f.written && f.done:
			f.mu.Unlock()
			return 0, io.EOF
		case r.at < ready:
			file := f.file
			f.mu.Unlock()
			n, err := file.ReadAt(p[:min(int64(len(p)), ready-r.at)], r.at)
			r.at += int64(n)
			if errors.Is(err, io.EOF) && n > 0 {
				err = nil
			}
			return n, err
		}
		f.more.Wait()
	}
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.flight.total
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d: %w", offset, errdefs.ErrInvalidArgument)
	}
	r.at = offset
	return offset, nil
}

// Close leaves the flight; without readers a download is given up.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.leave()
	f := r.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers--
	if f.readers == 0 {
		f.left = true
		f.cancel()
	}
	f.closeUnused()
	return nil
}
