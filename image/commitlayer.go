package image

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeLayer compresses a layer into the store. A layer without entries is not
// kept; its descriptor has no digest.
func (s *Store) writeLayer(ctx context.Context, write func(context.Context, io.Writer) (int, error)) (_ ocispec.Descriptor, diffID digest.Digest, err error) {
	var none ocispec.Descriptor
	if write == nil {
		return none, "", nil
	}
	ref := "commit-layer-" + rand.Text()
	w, err := content.OpenWriter(ctx, s.db.Content, content.WithRef(ref))
	if err != nil {
		return none, "", err
	}
	defer w.Close()
	zip, err := pgzip.NewWriterLevel(w, pgzip.DefaultCompression)
	if err != nil {
		return none, "", err
	}
	plain := digest.Canonical.Digester()
	n, err := write(ctx, io.MultiWriter(zip, plain.Hash()))
	if closeErr := zip.Close(); err == nil {
		err = closeErr
	}
	if err != nil || n == 0 {
		_ = s.db.Content.Abort(ctx, ref) // the lease's end would do it, too
		return none, "", err
	}
	diffID = plain.Digest()
	packed := w.Digest()
	status, err := w.Status()
	if err != nil {
		return none, "", err
	}
	err = w.Commit(ctx, status.Offset, packed, content.WithLabels(map[string]string{labels.LabelUncompressed: diffID.String()}))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return none, "", fmt.Errorf("write the layer: %w", err)
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: packed, Size: status.Offset}, diffID, nil
}
