package gc

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type hub struct {
	root      string
	clock     *clock
	gate      *Gate
	collector *Collector
	url       string
	catalog   *catalog.Service
}

func newHub(t *testing.T) hub {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "registry")
	db := storetest.Open(t, database(t))
	// Files have the real time: it must be long ago.
	c := &clock{at: time.Now().Add(24 * time.Hour)}
	gate := NewGate(db, grace, c.now)
	names := catalog.New(db, catalog.Options{Open: true})
	r, err := registry.New(t.Context(), registry.Options{Storage: registry.Filesystem(root), Catalog: names, Relies: gate.Touch})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	t.Cleanup(func() {
		s.Close()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return hub{root: root, clock: c, gate: gate, url: s.URL, catalog: names, collector: New(Options{DB: db, Catalog: names, Gate: gate, Driver: r.Driver()})}
}

func image(t testing.TB, contents ...string) oci.Image {
	t.Helper()
	var layers []oci.Layer
	for _, c := range contents {
		l, err := oci.NewLayer([]oci.Entry{{Header: tar.Header{Name: "f", Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(c)}}, oci.Zstd)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, l)
	}
	i, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.ImageConfig{}, "test", layers...)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func do(t testing.TB, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// whole reports what is missing of an image in a repository.
func whole(t testing.TB, url, repository, reference string, i oci.Image) error {
	t.Helper()
	status, body := do(t, http.MethodGet, url+"/v2/"+repository+"/manifests/"+reference)
	if status != http.StatusOK || body != string(i.Root().Data) {
		return fmt.Errorf("%s:%s: manifest: %d %s", repository, reference, status, body)
	}
	for _, b := range i.Blobs {
		status, body := do(t, http.MethodGet, url+"/v2/"+repository+"/blobs/"+b.Descriptor.Digest.String())
		if status != http.StatusOK || body != string(b.Data) {
			return fmt.Errorf("%s:%s: %s: %d %s", repository, reference, b.Descriptor.Digest, status, body)
		}
	}
	return nil
}

func blobs(t testing.TB, root string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, blobsRoot), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "data" {
			list = append(list, filepath.Base(filepath.Dir(path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (h hub) collect(t *testing.T, dry bool) Report {
	t.Helper()
	r, err := h.collector.Collect(t.Context(), dry)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
