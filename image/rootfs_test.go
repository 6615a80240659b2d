package image

import (
	"os"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestStartPathWritesNothing: finding a pulled image, taking its file system and
// registering a container write nothing to the database, not even the first time after
// the pull.
func TestStartPathWritesNothing(t *testing.T) {
	s, _, ref, _ := pulled(t)
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := s.db.Writes()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			img, err := s.Resolve(t.Context(), ref, nil)
			if err != nil {
				t.Error(err)
				return
			}
			root, err := s.Rootfs(t.Context(), img)
			if err != nil {
				t.Error(err)
				return
			}
			s.Hold(img, Holder{ContainerID: "x"})()
			root.Release()
		})
	}
	wg.Wait()
	s.work.Wait()
	if n := s.db.Writes() - before; n != 0 {
		t.Errorf("%d pages were written", n)
	}
}

func TestRootfsWithoutLayers(t *testing.T) {
	reg := newRegistry(t)
	reg.put("empty:1", newImage(t, amd64, ocispec.ImageConfig{}))
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, reg.host()+"/empty:1")
	img, err := s.Resolve(t.Context(), reg.host()+"/empty:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Rootfs(t.Context(), img)
	if err != nil || len(root.Lower) != 1 {
		t.Fatalf("%v %v", root, err)
	}
	if list, err := os.ReadDir(root.Lower[0]); err != nil || len(list) > 0 {
		t.Errorf("%v %v", list, err)
	}
	if _, err := s.Remove(t.Context(), reg.host()+"/empty:1", false, false); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}

// TestRootfsUnpacksAgain: an image whose snapshots are gone is unpacked from its
// blobs.
func TestRootfsUnpacksAgain(t *testing.T) {
	s, _, ref, _ := pulled(t)
	img, err := s.Resolve(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := s.db.Context(t.Context())
	for name := img.ChainID.String(); name != ""; {
		_, parent, err := s.db.SnapshotDir(ctx, name)
		if errdefs.IsNotFound(err) {
			break // collected, because its child is gone
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.db.Snapshots.Remove(ctx, name); err != nil && !errdefs.IsNotFound(err) {
			t.Fatal(err)
		}
		name = parent
	}
	root, err := s.Rootfs(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Release()
	if got := readLower(t, root.Lower, "top"); got != "ta" {
		t.Errorf("top: %q", got)
	}
	_, err = s.Rootfs(t.Context(), &Image{ChainID: digest.FromString("nothing")})
	if !errdefs.IsNotFound(err) {
		t.Errorf("unknown chain: %v", err)
	}
}
