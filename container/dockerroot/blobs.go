package dockerroot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blobs is a directory of files that are named by their digests. containerd's
// own store cannot be opened without writing to it.
type blobs string

func (b blobs) path(id digest.Digest) (string, error) {
	if err := id.Validate(); err != nil {
		return "", fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return filepath.Join(string(b), id.Algorithm().String(), id.Encoded()), nil
}

// Info implements layout.Source.
func (b blobs) Info(_ context.Context, id digest.Digest) (content.Info, error) {
	path, err := b.path(id)
	if err != nil {
		return content.Info{}, err
	}
	info, err := os.Stat(path)
	if missing(err) {
		return content.Info{}, fmt.Errorf("content %s: %w", id, errdefs.ErrNotFound)
	}
	if err != nil {
		return content.Info{}, err
	}
	return content.Info{Digest: id, Size: info.Size()}, nil
}

// ReaderAt implements layout.Source.
func (b blobs) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	path, err := b.path(desc.Digest)
	if err != nil {
		return nil, err
	}
	return local.OpenReader(path)
}
