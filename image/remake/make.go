package remake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

// ErrNot says that a layer cannot be remade: its compressor is not known, or its
// files do not tell what is in the tar. Trying again is of no use.
var ErrNot = errors.New("the layer cannot be made again")

// maxEntries bounds what the entries of a record may take.
const maxEntries = 64 << 20

// Blob is a layer as the registry has it.
type Blob interface {
	io.ReaderAt
	Size() int64
}

// Source is what to make a record of.
type Source struct {
	Digest digest.Digest // of Blob
	Blob   Blob
	// Unpack makes the tar of the blob's bytes.
	Unpack func(io.Reader) (io.ReadCloser, error)
	Dir    string // with the files that the tar was unpacked to, which do not change any more
	Name   string // of Dir in the record
}

// Make makes the record of a layer, after it has made the whole blob from it and
// compared the two. ErrNot if that cannot be.
func Make(ctx context.Context, s Source) (*Record, error) {
	entries, err := split(ctx, s)
	if err != nil {
		return nil, err
	}
	start := make([]byte, min(s.Blob.Size(), 4<<10))
	if _, err := s.Blob.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, recipe := range candidates(start) {
		r := &Record{Header{Version: Version, Digest: s.Digest, Size: s.Blob.Size(), Dir: s.Name, Recipe: recipe}, entries}
		same := &comparing{blob: s.Blob}
		err := r.stream(&guarded{ctx: ctx, useless: same.differs.Load}, bytes.NewReader(entries), s.Dir, same, 1)
		switch {
		case same.readErr != nil:
			return nil, same.readErr
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil && same.at == s.Blob.Size():
			return r, nil
		case err != nil && !same.differs.Load():
			return nil, fmt.Errorf("%w: %w", ErrNot, err) // of the files, not of the compressor
		}
	}
	return nil, fmt.Errorf("%w: its compressor is not known", ErrNot)
}

// split records the entries of the blob's tar.
func split(ctx context.Context, s Source) ([]byte, error) {
	out := &bounded{}
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	read := &reading{ctx: ctx, r: io.NewSectionReader(s.Blob, 0, s.Blob.Size())}
	tar, err := s.Unpack(read)
	if err != nil {
		return nil, err
	}
	defer tar.Close()
	copied, done, err := asm.NewInputTarStreamWithDone(tar, storage.NewJSONPacker(z), storage.NewDiscardFilePutter())
	if err != nil {
		return nil, err
	}
	_, copyErr := io.Copy(io.Discard, copied)
	copied.Close()
	err = errors.Join(<-done, copyErr, z.Close())
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case read.err != nil:
		return nil, read.err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNot, err)
	}
	return out.Bytes(), nil
}

// bounded holds the entries of a record.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxEntries {
		return 0, errors.New("it has too many entries")
	}
	return b.Buffer.Write(p)
}

// stream writes the blob that the record describes, compressed by as many
// goroutines as its compressor can use, but not more than procs.
func (h Header) stream(g *guarded, entries io.Reader, dir string, w io.Writer, procs int) error {
	from, err := openFiles(dir)
	if err != nil {
		return err
	}
	defer from.root.Close()
	up, end, err := unpacker(entries)
	if err != nil {
		return err
	}
	defer end()
	pack, err := h.Recipe.packer(w, procs)
	if err != nil {
		return err
	}
	g.w = pack
	err = asm.WriteOutputTarStream(from, up, g)
	if closeErr := pack.Close(); err == nil {
		err = closeErr
	}
	return err
}

// guarded ends a copy when its context ends or its result is of no use: some
// compressors tell an error only at their end.
type guarded struct {
	ctx     context.Context //nolint:containedctx // of one copy
	useless func() bool     // may be nil
	w       io.Writer
}

func (g *guarded) Write(p []byte) (int, error) {
	switch {
	case g.ctx.Err() != nil:
		return 0, context.Cause(g.ctx)
	case g.useless != nil && g.useless():
		return 0, errDiffers
	}
	return g.w.Write(p)
}

var errDiffers = errors.New("the bytes differ")

// comparing compares what is written with a blob.
type comparing struct {
	blob    Blob
	at      int64
	buf     []byte
	differs atomic.Bool
	readErr error
}

func (c *comparing) Write(p []byte) (int, error) {
	if c.differs.Load() || c.at+int64(len(p)) > c.blob.Size() {
		c.differs.Store(true)
		return 0, errDiffers
	}
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	got := c.buf[:len(p)]
	if _, err := c.blob.ReadAt(got, c.at); err != nil && !errors.Is(err, io.EOF) {
		c.readErr = err
		return 0, err
	}
	if !bytes.Equal(got, p) {
		c.differs.Store(true)
		return 0, errDiffers
	}
	c.at += int64(len(p))
	return len(p), nil
}

// reading remembers errors of the store, apart from those of what is read.
type reading struct {
	ctx context.Context //nolint:containedctx // of one copy
	r   io.Reader
	err error
}

func (r *reading) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
