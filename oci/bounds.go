package oci

import (
	"archive/tar"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/containerd/errdefs"
)

// Bounds are what an archive from a stranger may be at most, so that a small one
// does not fill the disk, or all of its inodes, before anybody notices.
type Bounds struct {
	Entries int64 // of the tar
	Ratio   int64 // bytes of the tar for one of the archive, once it has more than Least
	Least   int64
}

// DefaultBounds: images that people use have layers of some hundred thousand
// entries; gzip cannot do more than 1,032 to one, and zstd does for what is empty.
var DefaultBounds = Bounds{Entries: 4_000_000, Ratio: 2_000, Least: 1 << 30}

// Bytes is InvalidArgument if so many bytes came out of so few.
func (b Bounds) Bytes(unpacked, packed int64) error {
	if unpacked > b.Least && unpacked/b.Ratio > packed {
		return fmt.Errorf("more than %d bytes are packed in %d: that is no archive of files: %w", unpacked, packed, errdefs.ErrInvalidArgument)
	}
	return nil
}

// Counter counts the entries of one tar; it is InvalidArgument when there are too
// many.
func (b Bounds) Counter() func(*tar.Header) (bool, error) {
	n := int64(0)
	return func(*tar.Header) (bool, error) {
		if n++; n > b.Entries {
			return false, fmt.Errorf("the archive has more than %d entries: %w", b.Entries, errdefs.ErrInvalidArgument)
		}
		return true, nil
	}
}

// Decompress is Decompress that fails when the bounds are exceeded.
func (b Bounds) Decompress(r io.Reader) (io.ReadCloser, error) {
	packed := &counting{Reader: r}
	plain, err := Decompress(packed)
	if err != nil {
		return nil, err
	}
	return &bounded{ReadCloser: plain, packed: packed, bounds: b}, nil
}

type counting struct {
	io.Reader
	n atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type bounded struct {
	io.ReadCloser
	packed *counting
	n      int64
	bounds Bounds
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if over := b.bounds.Bytes(b.n, b.packed.n.Load()); over != nil {
		return 0, over
	}
	return n, err
}
