package oci

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow is how much memory a decoder may take for looking back: what "xz
// -9" and "zstd --ultra -22" without --long need at most.
const (
	maxXZWindow   = 64 << 20
	maxZstdWindow = 128 << 20
)

// Decompress undoes gzip, bzip2, xz or zstd, which it knows by their first
// bytes; anything else is passed on as it is. It never runs a program.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	var plain io.Reader
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b, 0x08}):
		plain, err = gzip.NewReader(b)
	case bytes.HasPrefix(magic, []byte("BZh")):
		plain, err = bzip2.NewReader(b), nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		plain, err = xz.NewReader(b, maxXZWindow)
	case isZstd(magic):
		var d *zstd.Decoder
		d, err = zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err == nil {
			rc := d.IOReadCloser()
			return &decoder{rc, rc.Close}, nil
		}
	default:
		return io.NopCloser(b), nil
	}
	if err != nil {
		return nil, corrupt(err)
	}
	return &decoder{plain, func() error { return nil }}, nil
}

// isZstd knows frames, and those to be skipped, with which some files begin.
func isZstd(magic []byte) bool {
	return bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18})
}

func corrupt(err error) error {
	return fmt.Errorf("decompress archive: %w", errdefs.ErrInvalidArgument.WithMessage(err.Error()))
}

// decoder tells errors of the compression from those of the connection, which
// come through unchanged.
type decoder struct {
	io.Reader
	close func() error
}

func (d *decoder) Close() error { return d.close() }

func (d *decoder) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	for _, known := range []error{
		gzip.ErrChecksum, gzip.ErrHeader, io.ErrUnexpectedEOF, xz.ErrData, xz.ErrBuf, xz.ErrFormat, xz.ErrOptions, xz.ErrMemlimit,
		zstd.ErrMagicMismatch, zstd.ErrWindowSizeExceeded, zstd.ErrCRCMismatch, zstd.ErrDecoderSizeExceeded,
	} {
		if errors.Is(err, known) {
			return n, corrupt(err)
		}
	}
	if _, ok := errors.AsType[bzip2.StructuralError](err); ok {
		return n, corrupt(err)
	}
	if _, ok := errors.AsType[flate.CorruptInputError](err); ok {
		return n, corrupt(err)
	}
	return n, err
}
