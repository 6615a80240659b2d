package image

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// compressible is text of that many bytes.
func compressible(mark string, n int) string {
	return strings.Repeat(mark+" is a line of text that compresses well\n", n/40+1)[:n]
}

// threeLayers has a layer of each compression.
func threeLayers(t *testing.T) oci.Image {
	t.Helper()
	return newImage(t, amd64, ocispec.ImageConfig{},
		newLayer(t, oci.Gzip, dir("d"), file("d/data", string(randomBytes(1<<20)))),
		newLayer(t, oci.Zstd, file("d/.wh.gone", ""), file("text", compressible("zstd", 300_000)+string(randomBytes(9000)))),
		newLayer(t, oci.None, file("plain", compressible("plain", 300_000))))
}

// kept lists the blobs of an image that the store keeps as they are.
func kept(t *testing.T, root string, img oci.Image) (list []digest.Digest) {
	t.Helper()
	for _, b := range img.Blobs {
		if _, err := os.Stat(filepath.Join(root, "content/blobs/sha256", b.Descriptor.Digest.Encoded())); err == nil {
			list = append(list, b.Descriptor.Digest)
		}
	}
	return list
}

func mustCompact(t *testing.T, s *Store) int64 {
	t.Helper()
	n, err := s.Compact(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCompact: after it the layers' blobs are not on the disk, and yet the image
// can be saved, pushed and pulled again, byte for byte; also by a store that is
// opened anew. With the image everything goes.
func TestCompact(t *testing.T) {
	reg := newRegistry(t)
	img := threeLayers(t)
	id := reg.put("app:1", img)
	root := t.TempDir()
	s, _ := openStore(t, root)
	ref := reg.host() + "/app:1"
	mustPull(t, s, ref)
	before := save(t, s, nil, ref)
	total, _, err := s.DiskUsage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	freed := mustCompact(t, s)
	if left := kept(t, root, img); len(left) != 1 { // the config
		t.Errorf("kept: %v", left)
	}
	now, _, err := s.DiskUsage(t.Context())
	if err != nil || freed < 1<<20 || now != total-freed {
		t.Errorf("%d bytes were used, %d are, %d were freed, %v", total, now, freed, err)
	}
	if mustCompact(t, s) != 0 {
		t.Error("something was compacted twice")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s, _ = openStore(t, root)
	if after := save(t, s, nil, ref); !bytes.Equal(before, after) {
		t.Errorf("what is saved differs: %d bytes, %d before", len(after), len(before))
	}
	var got arrivals
	host := strings.TrimPrefix(newDistribution(t, got.wrap).URL, "http://")
	mustTag(t, s, ref, host+"/app:1")
	mustPush(t, s, host+"/app:1")
	elsewhere, _ := openStore(t, t.TempDir())
	mustPull(t, elsewhere, host+"/app:1")
	if i, err := elsewhere.Resolve(t.Context(), host+"/app:1", nil); err != nil || i.ID != id {
		t.Errorf("%v, %v", i, err)
	}
	lines := mustPull(t, s, ref)
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "up to date") }) {
		t.Errorf("%q", lines)
	}
	for _, name := range []string{ref, host + "/app:1"} {
		if _, err := s.Remove(t.Context(), name, false, true); err != nil {
			t.Fatal(err)
		}
	}
	wantEmpty(t, s)
}

// TestCompactRefuses: what cannot be made again stays as it is and is not tried
// each time.
func TestCompactRefuses(t *testing.T) {
	reg := newRegistry(t)
	odd := newLayer(t, oci.Gzip, file("f", string(randomBytes(100_000))))
	other := newLayer(t, oci.None, file("g", string(randomBytes(100_000))))
	// Two files of one name: which of them is here, the tar's first bytes cannot tell.
	twice := newLayer(t, oci.None, file("h", string(randomBytes(50_000))), file("h", string(randomBytes(100_000))))
	img := newImage(t, amd64, ocispec.ImageConfig{}, odd, other, twice)
	reg.put("app:1", img)
	root := t.TempDir()
	s, _ := openStore(t, root)
	mustPull(t, s, reg.host()+"/app:1")
	mustCompact(t, s)
	left := kept(t, root, img)
	if !slices.Contains(left, twice.Descriptor.Digest) || slices.Contains(left, other.Descriptor.Digest) {
		t.Errorf("kept: %v", left)
	}
	info, err := s.db.Content.Info(s.db.Context(t.Context()), twice.Descriptor.Digest)
	if err != nil || info.Labels["berth.whole"] == "" {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestCompactedAlone: a layer that is used when its image is not any more, as by
// the cache of builds, can be read all the time; then it is a blob again, and its
// snapshot goes.
func TestCompactedAlone(t *testing.T) {
	reg := newRegistry(t)
	img := threeLayers(t)
	reg.put("app:1", img)
	root := t.TempDir()
	s, _ := openStore(t, root)
	ref := reg.host() + "/app:1"
	mustPull(t, s, ref)
	mustCompact(t, s)
	layer := img.Blobs[0]
	for _, b := range img.Blobs {
		if b.Descriptor.Size > layer.Descriptor.Size {
			layer = b
		}
	}
	ctx := s.db.Context(t.Context())
	// Such a lease keeps the blob alone, nothing that its labels name.
	cache, err := s.db.Leases.Create(ctx, leases.WithID("cache"), leases.WithLabel("containerd.io/gc.flat", "true"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Leases.AddResource(ctx, cache, leases.Resource{ID: layer.Descriptor.Digest.String(), Type: "content"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(ctx, ref, false, true); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if err := s.db.CollectNow(ctx); err != nil {
			t.Fatal(err)
		}
		if data := readBlob(ctx, t, s, layer.Descriptor); !bytes.Equal(data, layer.Data) {
			t.Errorf("%s: %d bytes, not %d", when, len(data), len(layer.Data))
		}
	}
	check("without its image")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = openStore(t, root)
	check("opened anew")
	mustCompact(t, s)
	check("restored")
	if left := kept(t, root, img); !slices.Contains(left, layer.Descriptor.Digest) {
		t.Error("it is no blob")
	}
	if files, err := filepath.Glob(filepath.Join(root, "overlay/snapshots/*")); err != nil || len(files) > 0 {
		t.Errorf("snapshots: %v, %v", files, err)
	}
	if err := s.db.Leases.Delete(ctx, cache); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}

func readBlob(ctx context.Context, t *testing.T, s *Store, desc ocispec.Descriptor) []byte {
	t.Helper()
	r, err := s.db.Content.ReaderAt(ctx, desc)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(content.NewReader(r))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCompactTorn: what a kill leaves between the two steps is put right.
func TestCompactTorn(t *testing.T) {
	reg := newRegistry(t)
	img := threeLayers(t)
	reg.put("app:1", img)
	root := t.TempDir()
	s, _ := openStore(t, root)
	ref := reg.host() + "/app:1"
	mustPull(t, s, ref)
	mustCompact(t, s)
	ctx := s.db.Context(t.Context())
	for _, b := range img.Blobs { // the blobs are there, too, and a record was begun
		data := readBlob(ctx, t, s, b.Descriptor)
		if err := os.WriteFile(filepath.Join(root, "content/blobs/sha256", b.Descriptor.Digest.Encoded()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.db.Leases.Create(ctx, leases.WithID("killed"), leases.WithLabel("berth.work", "load")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "remade", img.Blobs[0].Descriptor.Digest.Encoded()+".new"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = openStore(t, root)
	mustCompact(t, s)
	if left := kept(t, root, img); len(left) != 1 {
		t.Errorf("kept: %v", left)
	}
	if _, err := s.Remove(ctx, ref, false, true); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}
