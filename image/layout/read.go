package layout

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// Bounds of a stream.
const (
	maxBlobs = 100_000 // files
	maxIndex = 16 << 20
)

// Found is an image in a stream.
type Found struct {
	Target ocispec.Descriptor
	Names  []string // full names with tag
}

// Read puts the blobs of a stream, which may be compressed, into the store and
// returns its images in order, each once. What it has put there is kept by the lease of
// ctx alone. InvalidArgument for a stream without images, and one that becomes far more
// than it is.
func Read(ctx context.Context, cs content.Store, r io.Reader) ([]Found, error) {
	plain, err := oci.DefaultBounds.Decompress(r)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	desc, err := archive.ImportIndex(ctx, &bounded{Store: cs, stream: rand.Text()}, plain)
	if err != nil {
		return nil, streamError(err)
	}
	var index ocispec.Index
	if desc.Size > maxIndex {
		return nil, fmt.Errorf("index.json has %d bytes, more than %d: %w", desc.Size, maxIndex, errdefs.ErrInvalidArgument)
	}
	data, err := content.ReadBlob(ctx, cs, desc)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("index.json: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	var list []Found
	at := map[string]int{}
	for _, m := range index.Manifests {
		i, known := at[m.Digest.String()]
		if !known {
			i = len(list)
			at[m.Digest.String()] = i
			list = append(list, Found{Target: ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size}})
		}
		name, err := nameOf(m)
		if err != nil {
			return nil, err
		}
		if name != "" {
			list[i].Names = append(list[i].Names, name)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no image in the stream: %w", errdefs.ErrInvalidArgument)
	}
	return list, nil
}

// nameOf is the name that a stream gives an image; "" if it gives none. Others
// write a tag alone as its reference name: that is no image's name.
func nameOf(m ocispec.Descriptor) (string, error) {
	name := m.Annotations[images.AnnotationImageName]
	if name == "" {
		if name = m.Annotations[ocispec.AnnotationRefName]; !strings.ContainsAny(name, ":/") {
			return "", nil
		}
	}
	n, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("name %q in the stream: %w: %w", name, err, errdefs.ErrInvalidArgument)
	}
	if _, ok := n.(reference.Digested); ok {
		return "", nil
	}
	return reference.TagNameOnly(n).String(), nil
}

// streamError gives the kind InvalidArgument to what the stream's form causes;
// errors of the store, as of a full disk, come with their own.
func streamError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the stream is cut short or no tar: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	var broken interface{ Timeout() bool } // a connection's
	if errors.As(err, &broken) || errdefs.IsUnavailable(err) || errors.Is(err, context.Canceled) {
		return err
	}
	for _, text := range []string{"unrecognized image format", "missing index.json", "archive/tar", "untar", "not found", "unsupported OCI version", "no target for symlink", "normalize image ref"} {
		if strings.Contains(err.Error(), text) {
			return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
	}
	return err
}

// bounded counts the blobs that are written, and gives each a reference of this
// stream: a file of the same name in another one is another blob.
type bounded struct {
	content.Store
	stream string
	n      int
}

func (b *bounded) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	if b.n++; b.n > maxBlobs {
		return nil, fmt.Errorf("more than %d files in the stream: %w", maxBlobs, errdefs.ErrInvalidArgument)
	}
	return b.Store.Writer(ctx, append(opts, func(o *content.WriterOpts) error {
		o.Ref = b.stream + "-" + o.Ref
		return nil
	})...)
}
