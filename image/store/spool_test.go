package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func openSpooling(t *testing.T) (content.Store, string) {
	t.Helper()
	root := t.TempDir()
	below, err := local.NewStore(root)
	if err != nil {
		t.Fatal(err)
	}
	return NewSpooling(below, root, true), root
}

func blobOf(t *testing.T, n int) ([]byte, ocispec.Descriptor) {
	t.Helper()
	data := make([]byte, n)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return data, ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(n)}
}

// entries is how many names there are in a directory.
func entries(t *testing.T, path ...string) int {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(path...))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(list)
}

// TestSpooledBlobs: blobs of all sizes, known or not, are whole when they are
// committed, and nothing else is left of them.
func TestSpooledBlobs(t *testing.T) {
	s, root := openSpooling(t)
	for _, n := range []int{0, 1, small, small + 1, spooled, spooled + 1, 3 * spooled} {
		for _, known := range []bool{true, false} {
			data, desc := blobOf(t, n)
			opts := []content.WriterOpt{content.WithRef("ref")}
			if known {
				opts = append(opts, content.WithDescriptor(desc))
			}
			w, err := s.Writer(t.Context(), opts...)
			if n == 0 && errdefs.IsAlreadyExists(err) {
				continue // the second that is empty
			}
			if err != nil {
				t.Fatal(n, known, err)
			}
			for part := range bytes.SplitSeq(data, []byte{0}) {
				if _, err := w.Write(part); err != nil {
					t.Fatal(err)
				}
				if w.(content.Syncer).Sync() != nil { // more may be written after it
					t.Fatal(err)
				}
				if len(part) > 100 {
					break
				}
			}
			st, err := w.Status()
			if err != nil || st.Offset > int64(n) {
				t.Fatal(st, err)
			}
			if err := w.Truncate(0); err != nil {
				t.Fatal(err)
			}
			if _, err := bytes.NewReader(data).WriteTo(w); err != nil {
				t.Fatal(err)
			}
			err = w.Commit(t.Context(), int64(n), desc.Digest)
			if n == 0 && errdefs.IsAlreadyExists(err) {
				continue
			}
			if err != nil {
				t.Fatal(n, known, err)
			}
			if got, err := content.ReadBlob(t.Context(), s, desc); err != nil || !bytes.Equal(got, data) {
				t.Fatal(n, known, len(got), err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if n := entries(t, root, "ingest"); n != 0 {
		t.Errorf("%d blobs are still begun", n)
	}
}

// TestSpooledRefused: what is not as it should be becomes no blob.
func TestSpooledRefused(t *testing.T) {
	s, root := openSpooling(t)
	data, desc := blobOf(t, 100)
	other, otherDesc := blobOf(t, 100)
	write := func(d ocispec.Descriptor, data []byte) (content.Writer, error) {
		w, err := s.Writer(t.Context(), content.WithRef("ref"), content.WithDescriptor(d))
		if err == nil {
			_, err = w.Write(data)
		}
		return w, err
	}
	for name, commit := range map[string]func(w content.Writer) error{
		"digest": func(w content.Writer) error { return w.Commit(t.Context(), 100, otherDesc.Digest) },
		"size":   func(w content.Writer) error { return w.Commit(t.Context(), 99, desc.Digest) },
		"closed": func(w content.Writer) error { return errors.Join(w.Close(), w.Commit(t.Context(), 100, desc.Digest)) },
	} {
		w, err := write(desc, data)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := commit(w); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: %v", name, err)
		}
		if n := entries(t, root, "blobs", "sha256"); n != 0 {
			t.Errorf("%s: %d blobs", name, n)
		}
	}
	w, err := write(desc, data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(desc, data); !errdefs.IsUnavailable(err) {
		t.Errorf("a second writer: %v", err)
	}
	if st, err := s.Status(t.Context(), "ref"); err != nil || st.Offset != 100 {
		t.Error(st, err)
	}
	if err := errors.Join(w.Commit(t.Context(), 0, ""), s.Abort(t.Context(), "ref")); err != nil {
		t.Fatal(err)
	}
	if _, err := write(desc, data); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a blob that is there is begun: %v", err)
	}
	if w, err = write(ocispec.Descriptor{}, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), 0, ""); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a blob that is there is committed: %v", err)
	}
	if got, err := content.ReadBlob(t.Context(), s, desc); err != nil || !bytes.Equal(got, data) {
		t.Error(err)
	}
	if _, err := write(otherDesc, other); err != nil {
		t.Fatal(err)
	}
	if n := entries(t, root, "blobs", "sha256"); n != 1 {
		t.Errorf("%d blobs", n)
	}
}

// TestSpooledGoesOn: what an earlier process began in the local store's way is
// finished.
func TestSpooledGoesOn(t *testing.T) {
	root := t.TempDir()
	below, err := local.NewStore(root)
	if err != nil {
		t.Fatal(err)
	}
	data, desc := blobOf(t, 100)
	w, err := below.Writer(t.Context(), content.WithRef("ref"), content.WithDescriptor(desc))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data[:40]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := NewSpooling(below, root, true)
	if w, err = s.Writer(t.Context(), content.WithRef("ref"), content.WithDescriptor(desc)); err != nil {
		t.Fatal(err)
	}
	if err := content.Copy(context.WithoutCancel(t.Context()), w, bytes.NewReader(data), desc.Size, desc.Digest); err != nil {
		t.Fatal(err)
	}
	if n := entries(t, root, "ingest"); n != 0 {
		t.Errorf("%d blobs are still begun", n)
	}
}
