package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/oci"
)

// fakeRegistry serves images from memory; its hook may answer instead.
type fakeRegistry struct {
	*httptest.Server
	mu    sync.Mutex
	blobs map[digest.Digest]oci.Blob
	tags  map[string]oci.Blob // "repository:tag"
	log   []string            // "METHOD path"
	hook  func(w http.ResponseWriter, r *http.Request) bool
}

func newRegistry(t *testing.T) *fakeRegistry {
	t.Helper()
	r := &fakeRegistry{blobs: map[digest.Digest]oci.Blob{}, tags: map[string]oci.Blob{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *fakeRegistry) host() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *fakeRegistry) put(name string, img oci.Image) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range slices.Concat(img.Blobs, img.Manifests) {
		r.blobs[b.Descriptor.Digest] = b
	}
	r.tags[name] = img.Root()
	return img.Root().Descriptor.Digest
}

func (r *fakeRegistry) requests(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, l := range r.log {
		if strings.Contains(l, part) {
			n++
		}
	}
	return n
}

func (r *fakeRegistry) setHook(h func(w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = h
}

func (r *fakeRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.log = append(r.log, req.Method+" "+req.URL.Path)
	hook := r.hook
	r.mu.Unlock()
	if hook != nil && hook(w, req) {
		return
	}
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	repo, object, isManifest := strings.Cut(path, "/manifests/")
	if !isManifest {
		_, object, _ = strings.Cut(path, "/blobs/")
	}
	r.mu.Lock()
	b, ok := r.blobs[digest.Digest(object)]
	if isManifest && !ok {
		b, ok = r.tags[repo+":"+object]
	}
	r.mu.Unlock()
	if !ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
		return
	}
	w.Header().Set("Content-Type", b.Descriptor.MediaType)
	w.Header().Set("Docker-Content-Digest", b.Descriptor.Digest.String())
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b.Data))
}

var amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}

func file(name, data string) oci.Entry {
	return oci.Entry{Header: tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(data)}
}

func dir(name string) oci.Entry {
	return oci.Entry{Header: tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeDir}}
}

func newLayer(t *testing.T, c oci.Compression, entries ...oci.Entry) oci.Layer {
	t.Helper()
	l, err := oci.NewLayer(entries, c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newImage(t *testing.T, p ocispec.Platform, c ocispec.ImageConfig, layers ...oci.Layer) oci.Image {
	t.Helper()
	img, err := oci.NewImage(p, c, "test", layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// twoLayers is an image whose second layer hides a file of the first.
func twoLayers(t *testing.T, mark string) oci.Image {
	t.Helper()
	return newImage(t, amd64, ocispec.ImageConfig{Cmd: []string{"/a"}, Labels: map[string]string{"mark": mark}},
		newLayer(t, oci.Gzip, dir("d"), file("d/one", "1"+mark), file("d/two", "2")),
		newLayer(t, oci.Gzip, file("d/.wh.two", ""), file("top", "t"+mark)))
}

func openStore(t *testing.T, root string) (*Store, *event.Bus) {
	t.Helper()
	bus := event.New(0, nil)
	s, err := Open(t.Context(), Options{Root: root, Events: bus})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, bus
}

func mustPull(t *testing.T, s *Store, ref string) []string {
	t.Helper()
	var lines []string
	err := s.Pull(t.Context(), ref, PullOptions{Progress: collect(&lines)})
	if err != nil {
		t.Fatalf("pull %s: %v", ref, err)
	}
	return lines
}

func collect(lines *[]string) func(jsonstream.Message) {
	return func(m jsonstream.Message) {
		l := m.Status
		if m.ID != "" {
			l = m.ID + ": " + l
		}
		*lines = append(*lines, l)
	}
}

// happened lists the image events so far as "action id name".
func happened(t *testing.T, bus *event.Bus) []string {
	t.Helper()
	var list []string
	for m, err := range bus.Subscribe(t.Context(), time.Unix(1, 0), time.Now(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != events.ImageEventType {
			t.Errorf("event of type %s", m.Type)
		}
		list = append(list, fmt.Sprintf("%s %s %s", m.Action, m.Actor.ID, m.Actor.Attributes["name"]))
	}
	return list
}

// leftovers lists everything in the store: names, blobs, partial blobs,
// snapshots and their directories, leases.
func leftovers(t *testing.T, s *Store) []string {
	t.Helper()
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := s.db.Context(t.Context())
	var list []string
	records, err := s.db.Images.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		list = append(list, "image "+r.Name)
	}
	err = s.db.Content.Walk(ctx, func(i content.Info) error {
		list = append(list, "blob "+i.Digest.String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	partial, err := s.db.Content.ListStatuses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range partial {
		list = append(list, "ingest "+p.Ref)
	}
	err = s.db.Snapshots.Walk(ctx, func(_ ctxType, i snapshots.Info) error {
		list = append(list, "snapshot "+i.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	leases, err := s.db.Leases.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		list = append(list, "lease "+l.ID)
	}
	for _, pattern := range []string{"content/blobs/sha256/*", "content/ingest/*", "overlay/snapshots/*", "remade/*"} {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(s.db.EmptyDir()), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			list = append(list, "file "+f)
		}
	}
	return list
}

func wantEmpty(t *testing.T, s *Store) {
	t.Helper()
	if list := leftovers(t, s); len(list) > 0 {
		t.Errorf("left in the store:\n%s", strings.Join(list, "\n"))
	}
}

func readLower(t *testing.T, lower []string, name string) string {
	t.Helper()
	for _, d := range lower {
		fi, err := os.Lstat(filepath.Join(d, name))
		if err != nil {
			continue
		}
		if fi.Mode()&os.ModeCharDevice != 0 {
			return "whiteout"
		}
		data, err := os.ReadFile(filepath.Join(d, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return "absent"
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
