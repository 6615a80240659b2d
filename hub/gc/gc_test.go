package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// grace of the tests' clock, which moves only when it is told to.
const grace = time.Hour

func TestCollect(t *testing.T) {
	h := newHub(t)
	kept, gone := image(t, "shared", "kept"), image(t, "shared", "gone")
	for repository, i := range map[string]oci.Image{"a/kept": kept, "a/gone": gone, "b": kept} {
		if err := (oci.Remote{Registry: h.url, Repository: repository}).Push(t.Context(), i, "1"); err != nil {
			t.Fatal(err)
		}
	}
	manifest := h.url + "/v2/a/gone/manifests/" + gone.Root().Descriptor.Digest.String()
	if status, body := do(t, http.MethodDelete, manifest); status != http.StatusAccepted {
		t.Fatal(status, body)
	}
	if r := h.collect(t, false); r.Blobs != 0 || r.Links != 0 || r.Spared == 0 {
		t.Errorf("within the grace period: %+v", r)
	}
	h.clock.pass(grace + time.Minute)
	before := blobs(t, h.root)
	dry := h.collect(t, true)
	if after := blobs(t, h.root); !slices.Equal(before, after) {
		t.Errorf("a dry run removed: %v, %v", before, after)
	}
	r := h.collect(t, false)
	// The layer "gone", the config and the manifest; links to both layers and the config.
	if r.Blobs != 3 || r.Links != 3 || r.Spared != 0 || r.Bytes == 0 || len(blobs(t, h.root)) != len(before)-3 {
		t.Errorf("%+v of %d blobs, %d are left", r, len(before), len(blobs(t, h.root)))
	}
	if dry.Links != r.Links || !dry.DryRun || dry.Blobs != r.Blobs {
		t.Errorf("dry %+v, then %+v", dry, r)
	}
	for _, repository := range []string{"a/kept", "b"} {
		if err := whole(t, h.url, repository, "1", kept); err != nil {
			t.Error(err)
		}
	}
	for _, b := range gone.Blobs {
		if status, _ := do(t, http.MethodGet, h.url+"/v2/a/gone/blobs/"+b.Descriptor.Digest.String()); status != http.StatusNotFound {
			t.Errorf("a collected blob: %d", status)
		}
	}
	if err := (oci.Remote{Registry: h.url, Repository: "a/gone"}).Push(t.Context(), gone, "1"); err != nil {
		t.Fatal(err)
	}
	if err := whole(t, h.url, "a/gone", "1", gone); err != nil {
		t.Error(err)
	}
	if list, err := h.collector.Reports(t.Context(), account.System("test")); err != nil || len(list) != 3 || list[0].Blobs != 3 && list[1].Blobs != 3 {
		t.Errorf("reports %+v, %v", list, err)
	}
}

// TestUnreadable: a repository whose manifest lost its data keeps its layers.
func TestUnreadable(t *testing.T) {
	h := newHub(t)
	i := image(t, "layer")
	if err := (oci.Remote{Registry: h.url, Repository: "a"}).Push(t.Context(), i, "1"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(h.root, blobPath(i.Root().Descriptor.Digest))); err != nil {
		t.Fatal(err)
	}
	h.clock.pass(grace + time.Minute)
	r := h.collect(t, false)
	if r.Blobs != 0 || r.Links != 0 || len(r.Unreadable) != 1 {
		t.Errorf("%+v", r)
	}
	if err := os.MkdirAll(filepath.Join(h.root, blobPath(digest.FromString("left by a crash"))), 0o700); err != nil {
		t.Fatal(err)
	}
	if r := h.collect(t, false); r.Blobs != 0 || r.Error != "" {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(h.root, blobPath(digest.FromString("left by a crash")))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty folder: %v", err)
	}
}

// TestRemovedRepository: what a removed repository had goes, unless another
// has it, too; a place that the catalogue merely does not know stays.
func TestRemovedRepository(t *testing.T) {
	h := newHub(t)
	i := image(t, "layer")
	for _, name := range []string{"a/gone", "a/kept"} {
		if err := (oci.Remote{Registry: h.url, Repository: name}).Push(t.Context(), i, "1"); err != nil {
			t.Fatal(err)
		}
	}
	only := image(t, "only here")
	if err := (oci.Remote{Registry: h.url, Repository: "a/gone"}).Push(t.Context(), only, "2"); err != nil {
		t.Fatal(err)
	}
	if err := h.catalog.Remove(t.Context(), account.System("test"), "a/gone"); err != nil {
		t.Fatal(err)
	}
	unknown := filepath.Join(h.root, repositoriesRoot, "r", "unknown", "_layers")
	if err := os.MkdirAll(unknown, 0o700); err != nil {
		t.Fatal(err)
	}
	h.clock.pass(2 * grace)
	h.collect(t, false)
	if err := whole(t, h.url, "a/kept", "1", i); err != nil {
		t.Error(err)
	}
	if left := blobs(t, h.root); slices.Contains(left, only.Blobs[0].Descriptor.Digest.Encoded()) || len(left) != len(i.Blobs)+1 {
		t.Errorf("left %v", left)
	}
	places, err := os.ReadDir(filepath.Dir(filepath.Dir(unknown)))
	if err != nil || len(places) != 2 {
		t.Errorf("places %v, %v", places, err)
	}
}

// slowDelete gives others time between the decision to remove and the removal.
type slowDelete struct {
	driver.StorageDriver
	between func()
}

func (s slowDelete) Delete(ctx context.Context, path string) error {
	s.between()
	return s.StorageDriver.Delete(ctx, path)
}

// TestPushWaits: a push that wants to rely on a blob just while it is removed
// waits and is told that it is not there.
func TestPushWaits(t *testing.T) {
	h := newHub(t)
	i := image(t, "layer")
	remote := oci.Remote{Registry: h.url, Repository: "a"}
	if err := remote.Push(t.Context(), i, "1"); err != nil {
		t.Fatal(err)
	}
	if status, body := do(t, http.MethodDelete, h.url+"/v2/a/manifests/"+i.Root().Descriptor.Digest.String()); status != http.StatusAccepted {
		t.Fatal(status, body)
	}
	h.clock.pass(2 * grace)
	answers := make(chan string, 1)
	var once sync.Once
	h.collector.Driver = slowDelete{h.collector.Driver, func() {
		once.Do(func() {
			go func() {
				err := remote.Push(context.WithoutCancel(t.Context()), i, "1")
				answers <- fmt.Sprint(err)
			}()
			select {
			case a := <-answers:
				t.Errorf("the push did not wait: %s", a)
			case <-time.After(100 * time.Millisecond): // waiting longer would prove no more
			}
		})
	}}
	h.collect(t, false)
	if a := <-answers; a != "<nil>" {
		t.Fatal(a)
	}
	h.collect(t, false)
	if err := whole(t, h.url, "a", "1", i); err != nil {
		t.Error(err)
	}
}

func TestReferences(t *testing.T) {
	d := digest.FromString("x").String()
	for manifest, want := range map[string]int{
		"": 0, "x": 0, "[]": 0, `{"digest":"` + d + `"}`: 1, `{"layers":[{"digest":"` + d + `"},{"digest":"` + d + `"}]}`: 1,
		`{"layers":[{"digest":"sha256:short"}],"config":{"digest":7}}`: 0, `{"fsLayers":[{"blobSum":"` + d + `"}]}`: 1,
		`{"annotations":{"x":"` + d + `"}}`: 0, `{"subject":{"digest":"sha512:` + strings.Repeat("a", 128) + `"}}`: 1,
	} {
		if got := References([]byte(manifest)); len(got) != want {
			t.Errorf("%s: %v", manifest, got)
		}
	}
}

// database is the URL of an empty database for a test.
var database = func(*testing.T) string { return "" } // SQLite

// TestPostgres runs what depends on the database on PostgreSQL.
func TestPostgres(t *testing.T) {
	postgres.Again(t, &database, map[string]func(*testing.T){
		"Collect":           TestCollect,
		"PushWaits":         TestPushWaits,
		"Stress":            func(t *testing.T) { stress(t, 3) },
		"RemovedRepository": TestRemovedRepository,
	})
}

// TestBegin: a collection in the background is one at a time, for who may, and
// one whose Hub was killed is said to have ended.
func TestBegin(t *testing.T) {
	h := newHub(t)
	admin := account.System("test")
	r, err := h.collector.Begin(t.Context(), admin, true)
	if err != nil || !r.Ended.IsZero() {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := h.collector.Begin(t.Context(), admin, false); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a second one: %v", err)
	}
	closed := New(Options{DB: h.collector.DB, Catalog: catalog.New(h.collector.DB, catalog.Options{}), Gate: h.gate, Driver: h.collector.Driver})
	if _, err := closed.Begin(t.Context(), account.Principal{}, true); !errdefs.IsPermissionDenied(err) {
		t.Errorf("by a stranger: %v", err)
	}
	ended := func(id string) Report {
		t.Helper()
		for {
			r, err := h.collector.Get(t.Context(), admin, id)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Ended.IsZero() {
				return r
			}
			select {
			case <-t.Context().Done():
				t.Fatal("it never ended")
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.collector.Run(ctx) }()
	if r := ended(r.ID); r.Error != "" || !r.DryRun {
		t.Errorf("%+v", r)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	// Nobody runs it: the Hub was killed, and another one takes over.
	r, err = h.collector.Begin(t.Context(), admin, false)
	if err != nil {
		t.Fatal(err)
	}
	h.clock.pass(2 * time.Minute)
	again, err := h.collector.Begin(t.Context(), admin, false)
	if err != nil {
		t.Fatal(err)
	}
	if r := ended(r.ID); r.Error == "" || again.ID == r.ID {
		t.Errorf("what was abandoned: %+v", r)
	}
	// One that begins within the same second as it was killed.
	next := New(Options{DB: h.collector.DB, Catalog: h.catalog, Gate: h.gate, Driver: h.collector.Driver})
	ctx, cancel = context.WithCancel(t.Context())
	go func() { ran <- next.Run(ctx) }()
	if r := ended(again.ID); r.Error != killed {
		t.Errorf("what a killed process began: %+v", r)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if _, err := h.collector.Get(t.Context(), admin, "x"); !errdefs.IsNotFound(err) {
		t.Errorf("no collection: %v", err)
	}
}
