package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	ctdmount "github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/klauspost/pgzip"
	"github.com/moby/buildkit/util/overlay"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/build/executor"
	"github.com/berth-engine/berth/container/archive"
	"github.com/berth-engine/berth/fault"
)

// differ makes the layers of images of what steps have written, as commit makes
// that of a container: it reads only the directory that overlayfs wrote to, below
// descriptors, and compresses on all processors. What it cannot do, other forms
// of compression and differences of several layers, the other one does.
type differ struct {
	content content.Store
	other   diff.Comparer
}

// forceOverlay is BuildKit's switch for its own differ of overlays, which would go
// before ours and compresses on one processor with the standard library.
const forceOverlay = "BUILDKIT_DEBUG_FORCE_OVERLAY_DIFF"

func (d *differ) Compare(ctx context.Context, lower, upper []ctdmount.Mount, opts ...diff.Opt) (ocispec.Descriptor, error) {
	var c diff.Config
	for _, o := range opts {
		if err := o(&c); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	dir, err := overlay.GetUpperdir(lower, upper)
	gzipped := c.MediaType == ocispec.MediaTypeImageLayerGzip || c.MediaType == images.MediaTypeDockerSchema2LayerGzip
	if err != nil || !gzipped || c.Reference == "" {
		return d.other.Compare(ctx, lower, upper, opts...)
	}
	desc, err := d.layer(ctx, lower, dir, c.Reference)
	if err != nil {
		return desc, fmt.Errorf("make the layer of a build step: %w", err)
	}
	desc.MediaType = c.MediaType
	return desc, nil
}

// layer writes the blob of what is in dir above lower.
func (d *differ) layer(ctx context.Context, lower []ctdmount.Mount, dir, ref string) (desc ocispec.Descriptor, err error) {
	var below *os.File
	if len(lower) > 0 {
		if below, err = executor.OpenTree(lower, true, nil); err != nil {
			return desc, err
		}
		defer below.Close()
	}
	above, err := os.Open(dir)
	if err != nil {
		return desc, err
	}
	defer above.Close()
	w, err := content.OpenWriter(ctx, d.content, content.WithRef(ref))
	if err != nil {
		return desc, err
	}
	defer w.Close()
	diffID, err := pack(ctx, w, above, below)
	if err != nil {
		return desc, err
	}
	if err := fault.Point("build.layer.packed"); err != nil {
		return desc, err
	}
	blob := w.Digest()
	uncompressed := map[string]string{labels.LabelUncompressed: diffID.String()}
	if err := w.Commit(ctx, 0, blob, content.WithLabels(uncompressed)); err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, err
	}
	info, err := d.content.Info(ctx, blob)
	if err != nil {
		return desc, err
	}
	if info.Labels[labels.LabelUncompressed] == "" { // it was there, from elsewhere
		info.Labels = uncompressed
		if _, err := d.content.Update(ctx, info, "labels."+labels.LabelUncompressed); err != nil {
			return desc, err
		}
	}
	return ocispec.Descriptor{Digest: blob, Size: info.Size}, nil
}

// zips are compressors at rest. A new one takes 5 MB, and four times as long for a
// small layer.
var zips sync.Pool

// pack writes the compressed tar from the start of w.
func pack(ctx context.Context, w content.Writer, above, below *os.File) (diffID digest.Digest, err error) {
	if err := w.Truncate(0); err != nil {
		return "", err
	}
	zip, ok := zips.Get().(*pgzip.Writer)
	if !ok {
		if zip, err = pgzip.NewWriterLevel(w, pgzip.DefaultCompression); err != nil {
			return "", err
		}
	}
	zip.Reset(w)
	plain := digest.Canonical.Digester()
	_, err = archive.Layer(ctx, io.MultiWriter(zip, plain.Hash()), above, below, nil)
	if closeErr := zip.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		zip.Reset(io.Discard) // it would keep w
		zips.Put(zip)
	}
	return plain.Digest(), err
}
