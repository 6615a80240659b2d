package seed

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/store/storetest"
)

// TestSeedIsIdempotent needs the programs that `make build` makes.
func TestSeedIsIdempotent(t *testing.T) {
	first, err := HelloWorld()
	if err != nil {
		t.Fatal(err)
	}
	second, err := HelloWorld()
	if err != nil {
		t.Fatal(err)
	}
	if a, b := first.Root().Descriptor.Digest, second.Root().Descriptor.Digest; a != b {
		t.Errorf("two digests of one image: %s, %s", a, b)
	}
	dir := t.TempDir()
	db := storetest.Open(t, "")
	r, err := registry.New(t.Context(), registry.Options{
		Storage: registry.Filesystem(filepath.Join(dir, "registry")), Catalog: catalog.New(db, catalog.Options{Open: true}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	writes := 0
	counting := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodHead {
			writes++
		}
		r.ServeHTTP(w, req)
	})
	if err := Into(t.Context(), counting); err != nil {
		t.Fatal(err)
	}
	if writes == 0 {
		t.Fatal("nothing was pushed")
	}
	writes = 0
	if err := Into(t.Context(), counting); err != nil {
		t.Fatal(err)
	}
	if writes != 0 {
		t.Errorf("the second seeding wrote %d times", writes)
	}
}
