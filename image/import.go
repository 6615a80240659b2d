package image

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// ImportOptions describe an image that is made of a root file system.
type ImportOptions struct {
	Name      string // as in CommitOptions
	Config    dockerspec.DockerOCIImageConfig
	Comment   string
	CreatedBy string
	Platform  *ocispec.Platform // nil: the host's
}

// Import makes an image with one layer of a tar stream, which may be compressed
// (oci.Decompress). Errors are those of Commit; InvalidArgument for a
// stream that is no tar.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions) (digest.Digest, error) {
	id, err := s.Commit(ctx, CommitOptions{
		Config: o.Config, Name: o.Name, Comment: o.Comment, CreatedBy: o.CreatedBy, Platform: o.Platform,
		Layer: func(_ context.Context, w io.Writer) (int, error) { return 1, copyTar(w, r) },
	})
	if err != nil {
		return "", err
	}
	s.publish(events.ActionImport, id.String(), id.String(), nil)
	return id, nil
}

// copyTar unpacks a stream and makes sure that it may be a tar.
func copyTar(w io.Writer, r io.Reader) error {
	plain, err := oci.DefaultBounds.Decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	head := bufio.NewReaderSize(plain, 64<<10)
	block, err := head.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	// POSIX.1-1988 archives and later say "ustar"; an end alone is an empty one.
	if len(block) < 512 || string(block[257:262]) != "ustar" && len(bytes.Trim(block, "\x00")) > 0 {
		return fmt.Errorf("the stream is no tar archive: %w", errdefs.ErrInvalidArgument)
	}
	_, err = io.CopyBuffer(onlyWrites{w}, head, make([]byte, 256<<10))
	return err
}

// onlyWrites hides what else a writer can, so that the buffer is used.
type onlyWrites struct{ io.Writer }
