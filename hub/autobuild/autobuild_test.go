package autobuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
)

// TestPushBuilds: pushes to a hosted repository are built as the rules say.
func TestPushBuilds(t *testing.T) {
	w := newWorld(t, nil)
	_, secret, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{
		{Branch: "main", Context: "app", Args: map[string]string{"A": "b"}},
		{Tag: "v*", Dockerfile: "app/Dockerfile", Tags: []string{"{ref}", "at-{sha}"}},
	}})
	if err != nil || secret == "" {
		t.Fatal(secret, err)
	}
	w.run(t)
	dir, sha := work(t, map[string]string{"app/Dockerfile": "FROM scratch", "app/x": "1", "other": "2"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main", "HEAD:feature/x")
	b := <-w.ended
	if b.State != Succeeded || b.Commit != sha || b.Digest != "sha256:dd" || !slices.Equal(b.Tags, []string{"main", "latest"}) || b.Actor != "ann" {
		t.Errorf("%+v\n%s", b, w.log(t, b.ID))
	}
	if w.engine.files["Dockerfile"] != "FROM scratch" || w.engine.files["x"] != "1" || len(w.engine.files) != 2 || !strings.Contains(w.engine.query, "buildargs=%7B%22A%22%3A%22b%22%7D") ||
		!strings.Contains(w.engine.query, "t=hub.example%2Fann%2Fapp%3Amain") {
		t.Errorf("the engine got %v, %s", w.engine.files, w.engine.query)
	}
	if len(w.engine.pushes) != 2 || strings.HasSuffix(w.engine.pushes[0], " ") || w.robots.left() != 0 || w.robots.n != 1 {
		t.Errorf("pushes %q, %d robots are left of %d", w.engine.pushes, w.robots.left(), w.robots.n)
	}
	if log := w.log(t, b.ID); !strings.Contains(log, "Step 1/1") || !strings.Contains(log, "pushed sha256:dd") {
		t.Errorf("log %q", log)
	}
	// The same again is nothing; a tag is a build of its own; a clone has all.
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	runGit(t, dir, "tag", "-a", "-m", "v", "v1")
	runGit(t, dir, "push", "--quiet", w.git, "v1")
	if b = <-w.ended; b.Commit != sha || !slices.Equal(b.Tags, []string{"v1", "at-" + sha[:12]}) || w.engine.files["other"] != "2" {
		t.Errorf("%+v", b)
	}
	if got := runGit(t, t.TempDir(), "ls-remote", w.git, "refs/heads/*"); strings.Count(got, sha) != 2 {
		t.Errorf("ls-remote: %s", got)
	}
	clone := t.TempDir()
	runGit(t, clone, "clone", "--quiet", w.git, "c")
	if text, err := os.ReadFile(filepath.Join(clone, "c", "app", "x")); err != nil || string(text) != "1" {
		t.Errorf("%q, %v", text, err)
	}
	commit(t, dir, map[string]string{"app/Dockerfile": "broken"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	if b = <-w.ended; b.State != Failed || b.Error != "it does not build" {
		t.Errorf("%+v", b)
	}
	again, err := w.Rebuild(t.Context(), account.Principal{Kind: account.KindUser, Name: "bob"}, w.repo, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if b = <-w.ended; b.ID != again.ID || b.Actor != "bob" || b.State != Failed {
		t.Errorf("%+v", b)
	}
	if list, err := w.Builds(t.Context(), tester, w.repo); err != nil || len(list) != 4 {
		t.Errorf("%d builds, %v", len(list), err)
	}
}

// TestOrder: of several commits of a branch the builds are made one commit after
// the other, however many the engine takes at once, so that the tags are the last
// one's at the end; those of one commit are made at once.
func TestOrder(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Engines[0].Parallel = 4 })
	if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main"}, {Branch: "main", Tags: []string{"also"}}}}); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	w.engine.hold = hold
	var commits []string
	var dir string
	for i := range 4 { // within a second, more or less
		files := map[string]string{"Dockerfile": "FROM scratch", "x": strconv.Itoa(i)}
		if i == 0 {
			dir, _ = work(t, files)
		} else {
			commit(t, dir, files)
		}
		commits = append(commits, runGit(t, dir, "rev-parse", "HEAD"))
		runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	}
	w.run(t)
	for _, sha := range commits {
		<-w.engine.begun
		<-w.engine.begun
		hold <- struct{}{}
		hold <- struct{}{}
		for range 2 {
			if b := <-w.ended; b.Commit != sha || b.State != Succeeded {
				t.Errorf("%s is built, not %s: %+v", b.Commit, sha, b)
			}
		}
	}
	if w.engine.most != 2 {
		t.Errorf("%d builds at once", w.engine.most)
	}
	list, err := w.Builds(t.Context(), tester, w.repo)
	if err != nil || len(list) != 8 {
		t.Fatal(len(list), err)
	}
	for i, b := range list {
		if want := commits[3-i/2]; b.Commit != want {
			t.Errorf("number %d of the newest is of %s, not %s", i, b.Commit, want)
		}
	}
}

// TestCancelAndLimit: an engine runs no more builds at once than it may; those
// that wait and those that run can be given up.
func TestCancelAndLimit(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Engines[0].Parallel = 2 })
	w.engine.hold = make(chan struct{})
	if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "*"}}}); err != nil {
		t.Fatal(err)
	}
	w.run(t)
	dir, _ := work(t, map[string]string{"Dockerfile": "FROM scratch"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:a", "HEAD:b", "HEAD:c", "HEAD:d")
	<-w.engine.begun
	<-w.engine.begun
	list, err := w.Builds(t.Context(), tester, w.repo)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string][]Build{}
	for _, b := range list {
		count[b.State] = append(count[b.State], b)
	}
	if len(count[Queued]) != 2 || len(count[Running]) != 2 {
		t.Fatalf("%+v", count)
	}
	followed := make(chan string, 1)
	go func() {
		var text strings.Builder
		err := w.WriteLog(context.WithoutCancel(t.Context()), tester, w.repo, count[Running][0].ID, true, &text, func() error { return nil })
		followed <- fmt.Sprint(text.String(), err)
	}()
	for _, b := range []Build{count[Queued][0], count[Running][0]} {
		if err := w.Cancel(t.Context(), tester, w.repo, b.ID); err != nil {
			t.Error(err)
		}
	}
	if b := <-w.ended; b.ID != count[Running][0].ID || b.State != Cancelled {
		t.Errorf("%+v", b)
	}
	if text := <-followed; !strings.Contains(text, "Step 1/1") || !strings.HasSuffix(text, "cancelled\n<nil>") {
		t.Errorf("followed %q", text)
	}
	close(w.engine.hold)
	for range 2 {
		if b := <-w.ended; b.State != Succeeded {
			t.Errorf("%+v", b)
		}
	}
	if b, err := w.Build(t.Context(), tester, w.repo, count[Queued][0].ID); err != nil || b.State != Cancelled || w.engine.most != 2 {
		t.Errorf("%+v, %v; %d at once", b, err, w.engine.most)
	}
	if err := w.Cancel(t.Context(), tester, w.repo, list[0].ID); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("cancel of what ended: %v", err)
	}
}

// TestSurvives: a build under way when the Hub ends is built by the next one,
// and given up after that; a push that the Hub did not get to is built, too.
func TestSurvives(t *testing.T) {
	w := newWorld(t, nil)
	w.engine.hold = make(chan struct{})
	if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main"}}}); err != nil {
		t.Fatal(err)
	}
	stop := w.run(t)
	dir, sha := work(t, map[string]string{"Dockerfile": "FROM scratch"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	<-w.engine.begun
	stop()
	list, err := w.Builds(t.Context(), tester, w.repo)
	if err != nil || len(list) != 1 || list[0].State != Running {
		t.Fatalf("%+v, %v", list, err)
	}
	// As a killed Hub leaves it.
	w.robots.open["old"] = list[0].ID
	if _, err := w.DB.Exec(t.Context(), "UPDATE builds SET robot = 'old'"); err != nil {
		t.Fatal(err)
	}
	close(w.engine.hold)
	stop = w.run(t)
	if b := <-w.ended; b.State != Succeeded || b.Commit != sha || w.robots.left() != 0 {
		t.Errorf("%+v, %d robots are left", b, w.robots.left())
	}
	if log := w.log(t, list[0].ID); strings.Count(log, "building ") != 2 {
		t.Errorf("log %q", log)
	}
	stop()
	if _, err := w.DB.Exec(t.Context(), "UPDATE builds SET state = ?, tries = ?", Running, maxTries); err != nil {
		t.Fatal(err)
	}
	// Pushed, and the Hub was killed before it looked.
	sha = commit(t, dir, map[string]string{"x": "1"})
	runGit(t, dir, "push", "--quiet", "file://"+w.Service.git.path(w.id), "HEAD:main")
	w.run(t)
	if b := <-w.ended; b.State != Succeeded || b.Commit != sha {
		t.Errorf("%+v", b)
	}
	if b, err := w.Build(t.Context(), tester, w.repo, list[0].ID); err != nil || b.State != Failed || !strings.Contains(b.Error, "twice") {
		t.Errorf("%+v, %v", b, err)
	}
	// A repository that is removed takes its Git repository along.
	if err := catalog.New(w.DB, catalog.Options{Open: true}).Remove(t.Context(), account.System("test"), "ann/app"); err != nil {
		t.Fatal(err)
	}
	if err := w.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.Service.git.path(w.id)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its Git repository: %v", err)
	}
}

// database is the URL of an empty database for a test.
var database = func(*testing.T) string { return "" } // SQLite

// TestPostgres runs what depends on the database on PostgreSQL.
func TestPostgres(t *testing.T) {
	postgres.Again(t, &database, map[string]func(*testing.T){
		"PushBuilds":     TestPushBuilds,
		"CancelAndLimit": TestCancelAndLimit,
		"Order":          TestOrder,
	})
}
