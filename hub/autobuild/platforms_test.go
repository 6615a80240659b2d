package autobuild

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// TestPlatforms: an image for several platforms is built for each, and its tags
// lead to all; the parts' own tags go.
func TestPlatforms(t *testing.T) {
	w := newWorld(t, nil)
	_, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main", Tags: []string{"v1"}, Platforms: []string{"linux/amd64", "linux/arm64/v8"}}}})
	if err != nil {
		t.Fatal(err)
	}
	w.run(t)
	dir, _ := work(t, map[string]string{"Dockerfile": "FROM scratch"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	b := <-w.ended
	if b.State != Succeeded || b.Digest != "index of linux/amd64=sha256:dd linux/arm64=sha256:dd in ann/app as v1" {
		t.Errorf("%+v\n%s", b, w.log(t, b.ID))
	}
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	if len(w.engine.pushes) != 2 || !strings.Contains(w.engine.pushes[0], catalog.Transient+strings.ToLower(b.ID)) && !strings.Contains(w.engine.pushes[0], catalog.Transient+b.ID) ||
		!strings.Contains(w.engine.query, "platform=linux%2Farm64") {
		t.Errorf("pushed %q, built with %s", w.engine.pushes, w.engine.query)
	}
	for name, list := range map[string][]string{"unknown": {"linux"}, "nonsense": {"linux/a b"}, "twice": {"linux/arm64", "linux/arm64/v8"}, "many": make([]string, 11)} {
		if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main", Platforms: list}}}); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPartsOfAKilledBuild: what a Hub that was killed left of an image's parts goes
// when the build is taken up.
func TestPartsOfAKilledBuild(t *testing.T) {
	w := newWorld(t, nil)
	src, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main", Platforms: []string{"linux/amd64", "linux/arm64"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	if err := w.DB.Tx(t.Context(), func(tx *store.Tx) (err error) {
		ids, err = enqueue(t.Context(), tx, src, "refs/heads/main", strings.Repeat("a", 40), "test")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b, found, err := w.take(t.Context(), "one")
	if err != nil || !found || b.ID != ids[0] {
		t.Fatalf("%+v, %v", b, err)
	}
	repo, err := w.Catalog.ByID(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{part(b, 0), "kept"} {
		if _, err := w.Catalog.Pushed(t.Context(), tester, repo, catalog.Manifest{Digest: "sha256:dd"}, tag); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.adopt(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	tags, err := w.Catalog.Tags(t.Context(), repo, "", 0)
	if err != nil || len(tags) != 1 || tags[0].Name != "kept" {
		t.Errorf("%+v, %v", tags, err)
	}
	history, err := w.Catalog.History(t.Context(), repo, "", 0)
	if err != nil || len(history) != 1 {
		t.Errorf("parts are in the history: %+v, %v", history, err)
	}
	user := account.Principal{Kind: account.KindUser, ID: "x", Name: "x"}
	if _, err := w.Catalog.Pushed(t.Context(), user, repo, catalog.Manifest{Digest: "sha256:dd"}, catalog.Transient+"x"); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("a user made one: %v", err)
	}
}
