package remake

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/opencontainers/go-digest"
)

// Reader reads a blob that is remade. Reading on where the last read ended costs
// the compressing; reading elsewhere starts it from the beginning.
type Reader struct {
	header Header
	record string // path
	dir    string

	mu     sync.Mutex
	at     int64
	stream *io.PipeReader
	ended  chan struct{} // closed when the goroutine that writes the stream is gone
	stop   context.CancelFunc
}

// Open opens a record, to read its blob from the files in what locate makes of
// the header's Dir.
func Open(record string, locate func(dir string) string) (*Reader, error) {
	f, err := os.Open(record)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, _, err := ReadHeader(f)
	if err != nil {
		return nil, err
	}
	return &Reader{header: h, record: record, dir: locate(h.Dir)}, nil
}

// Header is that of the record.
func (r *Reader) Header() Header { return r.header }

// Size is the blob's.
func (r *Reader) Size() int64 { return r.header.Size }

// Close ends the work.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
	return nil
}

func (r *Reader) end() {
	if r.stream == nil {
		return
	}
	r.stop()
	r.stream.Close()
	<-r.ended
	r.stream = nil
}

// ReadAt reads the blob. Its last bytes are given only if all that were read from
// the start have the blob's digest.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if off < 0 {
		return 0, errors.New("remake: negative offset")
	}
	if off >= r.header.Size {
		return 0, io.EOF
	}
	short := false
	if rest := r.header.Size - off; int64(len(p)) > rest {
		p, short = p[:rest], true
	}
	if r.stream == nil || off < r.at {
		r.end()
		r.start()
	}
	if _, err := io.CopyN(io.Discard, r.stream, off-r.at); err != nil {
		return 0, r.failed(err)
	}
	r.at = off
	n, err := io.ReadFull(r.stream, p)
	r.at += int64(n)
	if err != nil {
		return n, r.failed(err)
	}
	if r.at == r.header.Size { // the digest is known now
		if _, err := r.stream.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			return 0, r.failed(err)
		}
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

func (r *Reader) failed(err error) error {
	r.end()
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("its files have another length")
	}
	return fmt.Errorf("make layer %s again: %w", r.header.Digest, err)
}

func (r *Reader) start() {
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	r.at, r.stream, r.stop, r.ended = 0, out, stop, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		in.CloseWithError(r.write(ctx, in))
	}(r.ended)
}

// write writes the blob, and fails if it is not that of the digest.
func (r *Reader) write(ctx context.Context, w io.Writer) error {
	f, err := os.Open(r.record)
	if err != nil {
		return err
	}
	defer f.Close()
	h, entries, err := ReadHeader(f)
	if err != nil {
		return err
	}
	out := &summing{w: bufio.NewWriterSize(w, 256<<10), sum: sha256.New()}
	if err := h.stream(&guarded{ctx: ctx}, entries, r.dir, out, runtime.GOMAXPROCS(0)); err != nil {
		return err
	}
	if got := digest.NewDigest(digest.SHA256, out.sum); got != h.Digest {
		return fmt.Errorf("it has the digest %s", got)
	}
	return out.w.Flush()
}

// summing sums what is written.
type summing struct {
	w   *bufio.Writer
	sum hash.Hash
}

func (s *summing) Write(p []byte) (int, error) {
	s.sum.Write(p)
	return s.w.Write(p)
}
