package image

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// newDistribution is the registry that the Hub embeds, behind wrap if that is not
// nil.
func newDistribution(t *testing.T, wrap func(http.Handler) http.Handler) *httptest.Server {
	t.Helper()
	config := &configuration.Configuration{Storage: configuration.Storage{"inmemory": configuration.Parameters{}}}
	config.Log.Level = "error"
	config.Log.AccessLog.Disabled = true
	config.Catalog.MaxEntries = 1000
	var h http.Handler = handlers.NewApp(t.Context(), config)
	if wrap != nil {
		h = wrap(h)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// TestDistribution pulls from the registry that the Hub embeds, all three
// compressions in an index.
func TestDistribution(t *testing.T) {
	srv := newDistribution(t, nil)
	img, err := oci.NewIndex(newImage(t, amd64, ocispec.ImageConfig{Cmd: []string{"/x"}},
		newLayer(t, oci.Gzip, file("1", "gzip")), newLayer(t, oci.Zstd, file("2", "zstd")), newLayer(t, oci.None, file("3", "none"))))
	if err != nil {
		t.Fatal(err)
	}
	if err := (oci.Remote{Registry: srv.URL, Repository: "team/app"}).Push(t.Context(), img, "v1"); err != nil {
		t.Fatal(err)
	}
	s, _ := openStore(t, t.TempDir())
	ref := strings.TrimPrefix(srv.URL, "http://") + "/team/app:v1"
	mustPull(t, s, ref)
	mustPull(t, s, ref)
	got, err := s.Resolve(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Rootfs(t.Context(), got)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Release()
	for name, want := range map[string]string{"1": "gzip", "2": "zstd", "3": "none"} {
		if have := readLower(t, root.Lower, name); have != want {
			t.Errorf("%s: %q", name, have)
		}
	}
	err = s.Pull(t.Context(), strings.TrimSuffix(ref, "v1")+"v2", PullOptions{})
	if err == nil || !strings.HasSuffix(err.Error(), "team/app:v2 not found: manifest unknown: manifest unknown") {
		t.Errorf("%v", err)
	}
}
