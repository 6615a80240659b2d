package store

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// Applier unpacks layers. Unlike containerd's own it mounts nothing, not even
// for the lowest layer, and starts no program to decompress: the layer is
// written straight into the snapshot's directory, with overlayfs's own form of
// whiteouts.
type Applier struct {
	content content.Provider
	bounds  oci.Bounds
}

var _ diff.Applier = (*Applier)(nil)

// maxWindow bounds what a zstd stream may ask for; it is the most that
// zstd --long makes without a size being given.
const maxWindow = 128 << 20

// Apply unpacks the layer into the snapshot that the mounts describe and returns
// the digest and size of its tar. Progress counts compressed bytes.
func (a *Applier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	var config diff.ApplyConfig
	for _, o := range opts {
		if err := o(ctx, desc, &config); err != nil {
			return none, err
		}
	}
	if err := CheckLayerType(desc.MediaType); err != nil {
		return none, err
	}
	dir, parents, err := directories(mounts)
	if err != nil {
		return none, err
	}
	blob, err := a.content.ReaderAt(ctx, desc)
	if err != nil {
		return none, err
	}
	defer blob.Close()
	var packed io.Reader = io.NewSectionReader(blob, 0, blob.Size())
	read := &reporting{r: packed, report: config.Progress}
	packed = read
	plain, err := decompress(packed)
	if err != nil {
		return none, fmt.Errorf("layer %s: %w", desc.Digest, err)
	}
	defer plain.Close()

	digester := digest.Canonical.Digester()
	unpacked := &reporting{r: io.TeeReader(plain, digester.Hash())}
	unpacked.check = func(n int64) error { return a.bounds.Bytes(n, read.n.Load()) }
	implied, err := lay(ctx, dir, parents, unpacked, a.bounds.Counter())
	if err != nil {
		return none, err
	}
	if note, ok := ctx.Value(implyKey{}).(func(string, []string)); ok {
		note(dir, implied)
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil { // padding after the end of the tar
		return none, err
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Size: unpacked.n.Load(), Digest: digester.Digest()}, nil
}

// CheckLayerType refuses layers that Apply cannot unpack.
func CheckLayerType(mediaType string) error {
	if !images.IsLayerType(mediaType) || strings.Contains(mediaType, "encrypted") || mediaType == images.MediaTypeErofsLayer {
		return fmt.Errorf("layers of type %q are not supported: %w", mediaType, errdefs.ErrNotImplemented)
	}
	return nil
}

// directories finds where to write and, topmost first, what lies below. The
// snapshotter describes the lowest layer by a bind mount, others by an overlay.
func directories(mounts []mount.Mount) (dir string, parents []string, err error) {
	if len(mounts) != 1 {
		return "", nil, fmt.Errorf("apply to %d mounts: %w", len(mounts), errdefs.ErrInternal)
	}
	m := mounts[0]
	if m.Type == "bind" {
		return m.Source, nil, nil
	}
	for _, o := range m.Options {
		if v, ok := strings.CutPrefix(o, "upperdir="); ok {
			dir = v
		} else if v, ok := strings.CutPrefix(o, "lowerdir="); ok {
			parents = strings.Split(v, ":")
		}
	}
	if m.Type != "overlay" || dir == "" {
		return "", nil, fmt.Errorf("apply to a mount of type %q: %w", m.Type, errdefs.ErrInternal)
	}
	return dir, parents, nil
}

// decompress goes by the first bytes and not by the media type, as Docker does:
// registries hold many layers with the wrong one. It uses all processors, where
// oci.Decompress keeps to little memory.
func decompress(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 128<<10)
	magic, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b, 0x08}):
		return pgzip.NewReaderN(buffered, 512<<10, 4) // decompresses ahead while files are written
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		d, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(2))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	default:
		return io.NopCloser(buffered), nil
	}
}

// reporting counts what is read; a decompressor may read on goroutines of its own.
type reporting struct {
	r      io.Reader
	n      atomic.Int64
	report func(int64)       // may be nil
	check  func(int64) error // may be nil
}

func (r *reporting) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	total := r.n.Add(int64(n))
	if r.report != nil {
		r.report(total)
	}
	if r.check != nil {
		if err := r.check(total); err != nil {
			return 0, err
		}
	}
	return n, err
}

// NewApplier makes an Applier that reads layers from content.
func NewApplier(content content.Provider) *Applier {
	return &Applier{content: content, bounds: oci.DefaultBounds}
}
