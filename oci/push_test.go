package oci

import (
	"archive/tar"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func testImage(t *testing.T, arch string) Image {
	t.Helper()
	layer, err := NewLayer([]Entry{{Header: tar.Header{Name: "f", Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(arch)}}, Gzip)
	if err != nil {
		t.Fatal(err)
	}
	image, err := NewImage(ocispec.Platform{OS: "linux", Architecture: arch}, ocispec.ImageConfig{}, "test", layer)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestPushOrder holds to the rule of the distribution-spec that what a manifest
// names is there before the manifest, and that the tag comes last.
func TestPushOrder(t *testing.T) {
	image, err := NewIndex(testImage(t, "amd64"), testImage(t, "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	var puts []string
	present := image.Blobs[0].Descriptor.Digest.String()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodHead:
			if !strings.HasSuffix(r.URL.Path, present) {
				w.WriteHeader(http.StatusNotFound)
			}
		case http.MethodPost:
			w.Header().Set("Location", "/upload?state=a%26b")
			w.WriteHeader(http.StatusAccepted)
		case http.MethodPut:
			if r.URL.Path == "/upload" {
				if got := r.URL.Query().Get("state"); got != "a&b" {
					t.Errorf("the upload's state came back as %q", got)
				}
				puts = append(puts, "blob "+r.URL.Query().Get("digest"))
			} else {
				puts = append(puts, strings.TrimPrefix(r.URL.Path, "/v2/a/b/"))
			}
			w.WriteHeader(http.StatusCreated)
		}
	}))
	defer s.Close()
	if err := (Remote{Registry: s.URL + "/", Repository: "a/b"}).Push(t.Context(), image, "v1"); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, b := range image.Blobs[1:] { // the first one was there
		want = append(want, "blob "+b.Descriptor.Digest.String())
	}
	for _, m := range image.Manifests[:2] {
		want = append(want, "manifests/"+m.Descriptor.Digest.String())
	}
	want = append(want, "manifests/v1")
	if !slices.Equal(puts, want) {
		t.Errorf("got\n%q\nwant\n%q", puts, want)
	}
}

func TestStatusBecomesKind(t *testing.T) {
	for status, is := range map[int]func(error) bool{
		http.StatusUnauthorized:        errdefs.IsUnauthorized,
		http.StatusForbidden:           errdefs.IsPermissionDenied,
		http.StatusBadRequest:          errdefs.IsInvalidArgument,
		http.StatusInternalServerError: errdefs.IsInternal,
		http.StatusServiceUnavailable:  errdefs.IsUnavailable,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, "the reason")
		}))
		remote := Remote{Registry: s.URL, Repository: "x"}
		if err := remote.Push(t.Context(), testImage(t, "amd64"), "1"); !is(err) {
			t.Errorf("%d became %v", status, err)
		}
		if _, err := remote.Has(t.Context(), testImage(t, "amd64").Root(), "1"); !is(err) {
			t.Errorf("Has: %d became %v", status, err)
		}
		s.Close()
	}
}

func TestRegistryDown(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	if err := (Remote{Registry: s.URL, Repository: "x"}).Push(t.Context(), testImage(t, "amd64"), "1"); err == nil {
		t.Error("a push to nobody succeeded")
	}
}

func TestUnknownCompression(t *testing.T) {
	if _, err := NewLayer(nil, "lzma"); err == nil {
		t.Error("lzma was taken")
	}
}
