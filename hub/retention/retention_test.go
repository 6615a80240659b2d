package retention

import (
	"archive/tar"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const day = 24 * time.Hour

var tester = account.System("test")

type world struct {
	*Service
	url  string
	mu   sync.Mutex
	time time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	db := storetest.Open(t, database(t))
	gate := gc.NewGate(db, time.Hour, w.now)
	names := catalog.New(db, catalog.Options{Open: true, Now: w.now})
	r, err := registry.New(t.Context(), registry.Options{Storage: registry.Filesystem(filepath.Join(dir, "registry")), Catalog: names, Relies: gate.Touch})
	if err != nil {
		t.Fatal(err)
	}
	w.Service = New(Options{DB: db, Catalog: names, Registry: r, Gate: gate, Now: w.now})
	names.OnChange(w.Hook)
	s := httptest.NewServer(r)
	w.url = s.URL
	t.Cleanup(func() {
		s.Close()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func image(t *testing.T, content string) oci.Image {
	t.Helper()
	l, err := oci.NewLayer([]oci.Entry{{Header: tar.Header{Name: "f", Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(content)}}, oci.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	i, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.ImageConfig{}, "test", l)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (w *world) push(t *testing.T, i oci.Image, tag string) error {
	t.Helper()
	return oci.Remote{Registry: w.url, Repository: "a/b"}.Push(t.Context(), i, tag)
}

func (w *world) repository(t *testing.T) catalog.Repository {
	t.Helper()
	r, _, err := w.Catalog.Find(t.Context(), account.System("test"), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) tags(t *testing.T) string {
	t.Helper()
	list, err := w.Catalog.Tags(t.Context(), w.repository(t), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tag := range list {
		names = append(names, tag.Name)
	}
	return strings.Join(names, " ")
}

func (w *world) status(t *testing.T, reference string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v2/a/b/manifests/"+reference, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Add("Accept", ocispec.MediaTypeImageManifest)
	req.Header.Add("Accept", ocispec.MediaTypeImageIndex)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestDecide(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	var tags []catalog.Tag
	for i := range 5 { // v0 is the youngest
		tags = append(tags, catalog.Tag{Name: fmt.Sprint("v", i), Pushed: now.Add(-time.Duration(i) * 10 * day)})
	}
	tags = append(tags, catalog.Tag{Name: "x", Pushed: now.Add(-400 * day), Pulled: now.Add(-day)})
	for name, test := range map[string]struct {
		policy Policy
		gone   string
	}{
		"no rule":        {Policy{}, ""},
		"last":           {Policy{Rules: []Rule{{KeepLast: 2}}}, "v2 v3 v4 x"},
		"last of some":   {Policy{Rules: []Rule{{Tags: "v*", KeepLast: 2}}}, "v2 v3 v4"},
		"age":            {Policy{Rules: []Rule{{KeepDays: 15}}}, "v2 v3 v4 x"},
		"pulled":         {Policy{Rules: []Rule{{KeepPulledDays: 2}}}, "v0 v1 v2 v3 v4"},
		"either":         {Policy{Rules: []Rule{{KeepLast: 1, KeepPulledDays: 2}}}, "v1 v2 v3 v4"},
		"except":         {Policy{Rules: []Rule{{Except: []string{"v[34]", "x"}, KeepLast: 1}}}, "v1 v2"},
		"two rules":      {Policy{Rules: []Rule{{Tags: "v*", KeepLast: 1}, {Tags: "v3", KeepLast: 1}}}, "v1 v2 v4"},
		"immutable":      {Policy{Rules: []Rule{{KeepLast: 1}}, Immutable: []string{"v4", "x"}}, "v1 v2 v3"},
		"more than all":  {Policy{Rules: []Rule{{KeepLast: 100}}}, ""},
		"of another tag": {Policy{Rules: []Rule{{Tags: "y*", KeepLast: 1}}}, ""},
	} {
		var gone []string
		for _, d := range decide(tags, test.policy, now) {
			if d.Reason == "" {
				t.Errorf("%s: %s has no reason", name, d.Tag)
			}
			if !d.Keep {
				gone = append(gone, d.Tag)
			}
		}
		if got := strings.Join(gone, " "); got != test.gone {
			t.Errorf("%s: %q goes, not %q", name, got, test.gone)
		}
	}
}

// TestApply: a dry run changes nothing and says what Apply does; a tag that was
// removed can be put back while its manifest is there.
func TestApply(t *testing.T) {
	w := newWorld(t)
	images := map[string]oci.Image{}
	for _, tag := range []string{"v1", "v2", "v3"} {
		images[tag] = image(t, tag)
		if err := w.push(t, images[tag], tag); err != nil {
			t.Fatal(err)
		}
		w.pass(day)
	}
	r := w.repository(t)
	policy := Policy{Rules: []Rule{{Tags: "v*", KeepLast: 1}}, UntaggedDays: 7}
	plan, err := w.Plan(t.Context(), tester, r.Name, policy)
	if err != nil || len(plan.Tags) != 3 || plan.Tags[0].Keep || plan.Tags[1].Keep || !plan.Tags[2].Keep || len(plan.Manifests) != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	if got := w.tags(t); got != "v1 v2 v3" {
		t.Errorf("after a dry run: %s", got)
	}
	if err := w.Set(t.Context(), tester, r.Name, policy); err != nil {
		t.Fatal(err)
	}
	if err := w.all(t.Context()); err != nil || w.tags(t) != "v1 v2 v3" {
		t.Errorf("a policy that is minutes old was applied: %s, %v", w.tags(t), err)
	}
	w.pass(2 * time.Hour)
	if err := w.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.tags(t); got != "v3" {
		t.Errorf("left %s", got)
	}
	if st, err := w.Get(t.Context(), tester, r.Name); err != nil || st.Result == nil || st.Result.Tags != 2 || st.Result.Manifests != 0 || st.Ran.IsZero() {
		t.Errorf("%+v, %v", st, err)
	}
	v1 := images["v1"].Root().Descriptor.Digest.String()
	if w.status(t, "v1") != http.StatusNotFound || w.status(t, v1) != http.StatusOK {
		t.Errorf("%d, %d", w.status(t, "v1"), w.status(t, v1))
	}
	if _, err := w.Catalog.Retag(t.Context(), account.System("test"), "a/b", "back", v1, catalog.Restore); err != nil {
		t.Fatal(err)
	}
	// v2's manifest goes when it was without a tag for a week; v1's has one.
	w.pass(8 * day)
	if result, err := w.Apply(t.Context(), tester, r.Name); err != nil || result != (Result{Manifests: 1}) {
		t.Errorf("%+v, %v", result, err)
	}
	if w.status(t, "back") != http.StatusOK || w.status(t, images["v2"].Root().Descriptor.Digest.String()) != http.StatusNotFound {
		t.Errorf("%d, %d", w.status(t, "back"), w.status(t, images["v2"].Root().Descriptor.Digest.String()))
	}
	if err := w.push(t, images["v2"], "v2"); err != nil || w.status(t, "v2") != http.StatusOK {
		t.Errorf("pushed again: %v, %d", err, w.status(t, "v2"))
	}
}

// TestImmutable: a tag that is there can be neither moved nor removed, by any
// way; the same again is fine.
func TestImmutable(t *testing.T) {
	w := newWorld(t)
	first := image(t, "1")
	for _, tag := range []string{"v1", "free"} {
		if err := w.push(t, first, tag); err != nil {
			t.Fatal(err)
		}
	}
	r := w.repository(t)
	if err := w.Set(t.Context(), tester, r.Name, Policy{Immutable: []string{"v*"}, Rules: []Rule{{KeepDays: 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.push(t, image(t, "2"), "v1"); err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "immutable") {
		t.Errorf("moved: %v", err)
	}
	for _, err := range []error{w.push(t, first, "v1"), w.push(t, image(t, "2"), "v2"), w.push(t, image(t, "2"), "free")} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := w.push(t, first, "v2"); err == nil {
		t.Error("the new one was moved")
	}
	for _, reference := range []string{"v1", first.Root().Descriptor.Digest.String()} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, w.url+"/v2/a/b/manifests/"+reference, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || w.status(t, "v1") != http.StatusOK {
			t.Errorf("delete of %s: %d, then %d", reference, resp.StatusCode, w.status(t, "v1"))
		}
	}
	w.pass(10 * day)
	if _, err := w.Apply(t.Context(), tester, r.Name); err != nil || w.tags(t) != "v1 v2" {
		t.Errorf("left %s, %v", w.tags(t), err)
	}
}

// TestUntagged: the parts of an index and what refers to a manifest stay as
// long as that does; what a push relies on stays for the grace period.
func TestUntagged(t *testing.T) {
	w := newWorld(t)
	part := image(t, "part")
	index, err := oci.NewIndex(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.push(t, index, "multi"); err != nil {
		t.Fatal(err)
	}
	if err := w.push(t, image(t, "old"), "x"); err != nil {
		t.Fatal(err)
	}
	if err := w.push(t, image(t, "new"), "x"); err != nil {
		t.Fatal(err)
	}
	r := w.repository(t)
	if err := w.Set(t.Context(), tester, r.Name, Policy{UntaggedDays: 1}); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * day)
	old := image(t, "old").Root().Descriptor.Digest
	if err := w.Gate.Touch(t.Context(), old); err != nil { // as a push of it does
		t.Fatal(err)
	}
	if result, err := w.Apply(t.Context(), tester, r.Name); err != nil || result != (Result{Spared: 1}) {
		t.Errorf("%+v, %v", result, err)
	}
	w.pass(2 * time.Hour)
	if result, err := w.Apply(t.Context(), tester, r.Name); err != nil || result != (Result{Manifests: 1}) {
		t.Errorf("%+v, %v", result, err)
	}
	for reference, want := range map[string]int{"multi": 200, part.Root().Descriptor.Digest.String(): 200, "x": 200, old.String(): 404} {
		if got := w.status(t, reference); got != want {
			t.Errorf("%s: %d", reference, got)
		}
	}
}

func TestBadPolicies(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Catalog.Create(t.Context(), tester, "a/b", true); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Policy{
		"keeps nothing": {Rules: []Rule{{}}}, "pattern": {Rules: []Rule{{Tags: "[", KeepLast: 1}}}, "except": {Rules: []Rule{{Except: []string{""}, KeepLast: 1}}},
		"negative": {Rules: []Rule{{KeepLast: -1, KeepDays: 2}}}, "days": {UntaggedDays: -1}, "huge": {Rules: []Rule{{KeepDays: 1 << 40}}},
		"immutable": {Immutable: []string{"["}}, "many": {Rules: make([]Rule, 51)},
	} {
		if err := w.Set(t.Context(), tester, "a/b", p); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// database is the URL of an empty database for a test.
var database = func(*testing.T) string { return "" } // SQLite

// TestPostgres runs what depends on the database on PostgreSQL.
func TestPostgres(t *testing.T) {
	postgres.Again(t, &database, map[string]func(*testing.T){
		"Apply":     TestApply,
		"Immutable": TestImmutable,
		"Untagged":  TestUntagged,
	})
}
