package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Blob is content with its descriptor.
type Blob struct {
	Descriptor ocispec.Descriptor
	Data       []byte
}

// NewBlob describes data by its digest and size.
func NewBlob(mediaType string, data []byte) Blob {
	return Blob{ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}, data}
}

// Compression is how a layer's tar is packed.
type Compression string

// The compressions of the image-spec. The zero value means Gzip.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
	None Compression = "none"
)

// Entry is one file of a layer. Owner, mode, link and device come from the
// header; its times are set to the epoch, so that equal content has an equal
// digest.
type Entry struct {
	Header tar.Header
	Data   []byte
}

// Layer is a packed layer with the digest of its tar before compression, which
// the image's configuration lists.
type Layer struct {
	Blob
	DiffID digest.Digest
}

// NewLayer packs entries in the order given.
func NewLayer(entries []Entry, c Compression) (Layer, error) {
	var plain bytes.Buffer
	tw := tar.NewWriter(&plain)
	for _, e := range entries {
		h := e.Header
		h.Size = int64(len(e.Data))
		h.ModTime = time.Unix(0, 0)
		h.Format = tar.FormatPAX
		if err := tw.WriteHeader(&h); err != nil {
			return Layer{}, fmt.Errorf("layer entry %s: %w", h.Name, err)
		}
		if _, err := tw.Write(e.Data); err != nil {
			return Layer{}, fmt.Errorf("layer entry %s: %w", h.Name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return Layer{}, err
	}
	packed, mediaType, err := pack(plain.Bytes(), c)
	if err != nil {
		return Layer{}, err
	}
	return Layer{Blob: NewBlob(mediaType, packed), DiffID: digest.FromBytes(plain.Bytes())}, nil
}

func pack(plain []byte, c Compression) ([]byte, string, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	var mediaType string
	switch c {
	case Gzip, "":
		gz, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
		if err != nil {
			return nil, "", err
		}
		w, mediaType = gz, ocispec.MediaTypeImageLayerGzip
	case Zstd:
		// One encoder: more would make the output depend on the scheduler.
		zs, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, "", err
		}
		w, mediaType = zs, ocispec.MediaTypeImageLayerZstd
	case None:
		return plain, ocispec.MediaTypeImageLayer, nil
	default:
		return nil, "", fmt.Errorf("compression %q: want gzip, zstd or none", c)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, "", err
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return out.Bytes(), mediaType, nil
}
