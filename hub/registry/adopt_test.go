package registry

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/oci"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestContentOfAnEarlierHub pushes to distribution alone, as the Hub was before
// it had a catalogue, and opens that with a new database.
func TestContentOfAnEarlierHub(t *testing.T) {
	root := t.TempDir()
	app := handlers.NewApp(t.Context(), &configuration.Configuration{Storage: Filesystem(filepath.Join(root, "registry"))})
	old := httptest.NewServer(app)
	i := image(t, "old")
	for _, name := range []string{"single", "a/b/c"} {
		if err := (oci.Remote{Registry: old.URL, Repository: name}).Push(t.Context(), i, "1"); err != nil {
			t.Fatal(err)
		}
	}
	old.Close()
	if err := app.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and a restart
		s := serve(t, root)
		for _, name := range []string{"single", "a/b/c"} {
			if status, body := get(t, s.URL+"/v2/"+name+"/manifests/1", http.Header{"Accept": {ocispec.MediaTypeImageManifest}}); status != http.StatusOK || body != string(i.Root().Data) {
				t.Errorf("%s: %d %s", name, status, body)
			}
			if status, _ := get(t, s.URL+"/v2/"+name+"/blobs/"+i.Blobs[0].Descriptor.Digest.String(), nil); status != http.StatusOK {
				t.Errorf("%s: blob %d", name, status)
			}
		}
		if _, body := get(t, s.URL+"/v2/_catalog", nil); strings.TrimSpace(body) != `{"repositories":["a/b/c","single"]}` {
			t.Errorf("catalogue: %s", body)
		}
	}
}

func TestParseStorage(t *testing.T) {
	s, err := ParseStorage("s3://images/hub/x?region=eu-west-1&endpoint=http://127.0.0.1:9000&path-style=true")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"bucket": "images", "rootdirectory": "/hub/x", "region": "eu-west-1", "regionendpoint": "http://127.0.0.1:9000", "forcepathstyle": true, "secure": false,
	} {
		if got := s["s3"][key]; got != want {
			t.Errorf("%s: %v, not %v", key, got, want)
		}
	}
	if s, err := ParseStorage("/var/lib/x"); err != nil || s["filesystem"]["rootdirectory"] != "/var/lib/x" {
		t.Errorf("%v, %v", s, err)
	}
	for _, bad := range []string{"s3://", "s3://b?nope=1", "s3://b?endpoint=x", "s3://b?path-style=maybe", "s3://key:secret@b"} {
		if _, err := ParseStorage(bad); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
