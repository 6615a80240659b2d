package registry

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// open opens a registry without accounts in a directory.
func open(t *testing.T, root string, log *slog.Logger) (*Registry, *catalog.Service) {
	t.Helper()
	db := storetest.Open(t, filepath.Join(root, "hub.db"))
	c := catalog.New(db, catalog.Options{Open: true})
	r, err := New(t.Context(), Options{Storage: Filesystem(filepath.Join(root, "registry")), Catalog: c, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, c
}

func serve(t *testing.T, root string) *httptest.Server {
	t.Helper()
	r, _ := open(t, root, nil)
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return s
}

func image(t *testing.T, content string) oci.Image {
	t.Helper()
	layer, err := oci.NewLayer([]oci.Entry{{Header: tar.Header{Name: "f", Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(content)}}, oci.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	i, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.ImageConfig{}, "test", layer)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func get(t *testing.T, url string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestPushedImageSurvivesRestart(t *testing.T) {
	root := t.TempDir()
	i := image(t, "content")
	first := serve(t, root)
	remote := oci.Remote{Registry: first.URL, Repository: "a/b"}
	for range 2 { // the second push finds all there
		if err := remote.Push(t.Context(), i, "1"); err != nil {
			t.Fatal(err)
		}
	}
	second := serve(t, root)
	accept := http.Header{"Accept": {ocispec.MediaTypeImageManifest}}
	status, body := get(t, second.URL+"/v2/a/b/manifests/1", accept)
	if status != http.StatusOK || body != string(i.Root().Data) {
		t.Errorf("manifest: %d %s", status, body)
	}
	status, body = get(t, second.URL+"/v2/a/b/blobs/"+i.Blobs[0].Descriptor.Digest.String(), nil)
	if status != http.StatusOK || body != string(i.Blobs[0].Data) {
		t.Errorf("blob: %d, %d bytes", status, len(body))
	}
	has, err := oci.Remote{Registry: second.URL, Repository: "a/b"}.Has(t.Context(), i.Root(), "1")
	if err != nil || !has {
		t.Errorf("Has: %v, %v", has, err)
	}
}

// TestRefused sends what must not be believed: names that leave the store, a
// blob that is not what its digest says, a listing without end.
func TestRefused(t *testing.T) {
	root := t.TempDir()
	s := serve(t, filepath.Join(root, "store"))
	for _, path := range []string{"/v2/../../etc/manifests/x", "/v2/a%2f..%2f..%2fb/manifests/x", "/v2/UPPER/manifests/x", "/v2/a/manifests/..%2f..%2fx"} {
		if status, _ := get(t, s.URL+path, nil); status < 400 || status > 499 {
			t.Errorf("%s: status %d", path, status)
		}
	}
	if err := (oci.Remote{Registry: s.URL, Repository: "x"}).Push(t.Context(), image(t, "x"), "1"); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"_catalog?n=1001", "_catalog?n=99999999999", "_catalog?n=-1", "x/tags/list?n=-1", "x/tags/list?n=99999999999999999999999"} {
		if status, body := get(t, s.URL+"/v2/"+list, nil); status != http.StatusBadRequest {
			t.Errorf("%s: status %d %s", list, status, body)
		}
	}
	bad := image(t, "true")
	bad.Blobs[0].Data = []byte("false")
	if err := (oci.Remote{Registry: s.URL, Repository: "x"}).Push(t.Context(), bad, "1"); err == nil {
		t.Error("a blob with a wrong digest was taken")
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 1 {
		t.Errorf("something was written beside the store: %v", entries)
	}
}

// TestBlobsBelongToTheirRepository: a name does not open another's content, and
// what was deleted is gone (CVE-2024-39897, CVE-2026-35172).
// TestOtherAlgorithms: what is not kept by its own digest is refused, and says why.
func TestOtherAlgorithms(t *testing.T) {
	s := serve(t, t.TempDir())
	sum := "sha512:" + strings.Repeat("0", 128)
	for call, want := range map[string]int{
		"POST /v2/a/b/blobs/uploads/?digest=" + sum:           http.StatusBadRequest,
		"POST /v2/a/b/blobs/uploads/?digest-algorithm=sha512": http.StatusBadRequest,
		"POST /v2/a/b/blobs/uploads/?digest-algorithm=sha256": http.StatusAccepted,
		"PUT /v2/a/b/blobs/uploads/x?digest=" + sum:           http.StatusBadRequest,
		"PUT /v2/a/b/manifests/" + sum:                        http.StatusBadRequest,
		"GET /v2/a/b/manifests/" + sum:                        http.StatusNotFound,
		"GET /v2/a/b/blobs/" + sum:                            http.StatusNotFound,
	} {
		method, path, _ := strings.Cut(call, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want || want == http.StatusBadRequest && !strings.Contains(string(body), "by sha256 alone, not by sha512") {
			t.Errorf("%s: %s %s, %v", call, resp.Status, body, err)
		}
	}
}

func TestBlobsBelongToTheirRepository(t *testing.T) {
	s := serve(t, t.TempDir())
	i := image(t, "private")
	if err := (oci.Remote{Registry: s.URL, Repository: "a"}).Push(t.Context(), i, "1"); err != nil {
		t.Fatal(err)
	}
	if err := (oci.Remote{Registry: s.URL, Repository: "b"}).Push(t.Context(), image(t, "other"), "1"); err != nil {
		t.Fatal(err)
	}
	blob := "/blobs/" + i.Blobs[0].Descriptor.Digest.String()
	if status, _ := get(t, s.URL+"/v2/a"+blob, nil); status != http.StatusOK {
		t.Errorf("own blob: status %d", status)
	}
	if status, _ := get(t, s.URL+"/v2/b"+blob, nil); status != http.StatusNotFound {
		t.Errorf("another repository's blob: status %d", status)
	}
	for _, path := range []string{"/manifests/" + i.Root().Descriptor.Digest.String(), blob} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.URL+"/v2/a"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Errorf("delete %s: status %d", path, resp.StatusCode)
		}
		if status, _ := get(t, s.URL+"/v2/a"+path, nil); status != http.StatusNotFound {
			t.Errorf("deleted %s: status %d", path, status)
		}
	}
	if status, _ := get(t, s.URL+"/v2/a/manifests/1", nil); status != http.StatusNotFound {
		t.Errorf("tag of a deleted manifest: status %d", status)
	}
}

// TestOwnFailureIsLogged puts a file where the store keeps its directories: the
// client gets a 5xx and the log the reason. A client's own fault is not logged.
func TestOwnFailureIsLogged(t *testing.T) {
	root := t.TempDir()
	var log bytes.Buffer
	r, _ := open(t, root, slog.New(slog.NewTextHandler(&log, nil)))
	answer := func(method, path string) int {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		return w.Code
	}
	if status := answer(http.MethodGet, "/v2/x/manifests/1"); status != http.StatusNotFound || log.Len() > 0 {
		t.Errorf("unknown name: status %d, logged %q", status, log.String())
	}
	if err := os.WriteFile(filepath.Join(root, "registry"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status := answer(http.MethodPost, "/v2/x/blobs/uploads/"); status < 500 {
		t.Errorf("status %d from a broken store", status)
	}
	if !strings.Contains(log.String(), "not a directory") {
		t.Errorf("logged %q", log.String())
	}
}

func TestAccessLogCountsBytes(t *testing.T) {
	var log bytes.Buffer
	h := AccessLog(&log, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusTeapot)
		if _, err := io.WriteString(w, "four"); err != nil {
			t.Error(err)
		}
	}))
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v2/x?secret=1", strings.NewReader("sixsix"))
	h.ServeHTTP(httptest.NewRecorder(), req)
	var a Access
	if err := json.Unmarshal(log.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.Status != http.StatusTeapot || a.Sent != 4 || a.Received != 6 || a.Path != "/v2/x" || strings.Contains(log.String(), "secret") {
		t.Errorf("got %s", log.String())
	}
}
