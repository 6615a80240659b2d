package image

import (
	"os"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/test/golden"
)

// TestStoreLayout is the golden test of docs/contracts/image-rootfs.md.
func TestStoreLayout(t *testing.T) {
	reg := newRegistry(t)
	// Not compressed, so that the digests do not depend on a compressor.
	reg.put("library/hello:latest", newImage(t, amd64, ocispec.ImageConfig{},
		newLayer(t, oci.None, file("one", "1")), newLayer(t, oci.None, file("two", "2"))))
	root := t.TempDir()
	s, _ := openStore(t, root)
	s.SetRegistries(Registries{Mirrors: map[string][]string{"docker.io": {reg.URL}}})
	mustPull(t, s, "hello")
	list := leftovers(t, s)
	ctx := s.db.Context(t.Context())
	leases, err := s.db.Leases.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		resources, err := s.db.Leases.ListResources(ctx, l)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resources {
			list = append(list, "lease "+l.ID+" -> "+r.Type+" "+r.ID)
		}
	}
	img, err := s.Resolve(t.Context(), "hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	fs, err := s.Rootfs(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Release()
	for _, d := range fs.Lower {
		list = append(list, "lower "+d)
	}
	files, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		list = append(list, "root "+f.Name())
	}
	slices.Sort(list)
	got := strings.ReplaceAll(strings.Join(list, "\n")+"\n", root, "ROOT")
	golden.Compare(t, "store-v1.txt", got)
}
