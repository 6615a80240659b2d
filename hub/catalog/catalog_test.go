package catalog

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
)

type world struct {
	*Service
	db              *store.DB
	accounts        *account.Service
	ann, bert, boss account.Principal
	clock           time.Time
}

var suite = map[string]func(*testing.T, *world){"roles": testRoles, "tags": testTags, "lists": testLists, "moves": testMoves, "hooks": testHooks}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	db := storetest.Open(t, url)
	w := &world{db: db, clock: time.Now()}
	w.Service = New(db, Options{Now: func() time.Time { return w.clock }})
	w.accounts = account.New(db, account.Options{})
	for name, p := range map[string]*account.Principal{"ann": &w.ann, "bert": &w.bert, "boss": &w.boss} {
		u, err := w.accounts.CreateUser(t.Context(), account.System("test"), account.NewUser{Name: name, Password: "correct horse", Admin: name == "boss"})
		if err != nil {
			t.Fatal(err)
		}
		*p = u.Principal()
	}
	if _, err := w.accounts.CreateOrganisation(t.Context(), w.ann, "acme"); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestSQLite(t *testing.T) {
	for name, test := range suite {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, filepath.Join(t.TempDir(), "hub.db"))) })
	}
}

func TestPostgres(t *testing.T) {
	server := postgres.Start(t)
	for name, test := range suite {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, server.Database(t, name))) })
	}
}

func (w *world) role(t *testing.T, p account.Principal, name string, want Role) {
	t.Helper()
	if got, err := w.Role(t.Context(), p, name); err != nil || got != want {
		t.Errorf("%s in %s: %s, not %s; %v", p.Name, name, got, want, err)
	}
	// A list shows what a role opens, and nothing else.
	list, err := w.List(t.Context(), p, Query{})
	if err != nil {
		t.Fatal(err)
	}
	listed := false
	for _, r := range list {
		listed = listed || r.Name == name
	}
	_, there := w.exists(t.Context(), name)
	if there && listed != (want >= Read) {
		t.Errorf("%s: %s listed: %t", p.Name, name, listed)
	}
}

// exists tells whether there is a repository of a name.
func (s *Service) exists(ctx context.Context, name string) (Repository, bool) {
	r, err := s.find(ctx, s.db, name)
	return r, err == nil
}

func is(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v, not %v", what, err, kind)
	}
}

func testRoles(t *testing.T, w *world) {
	ctx := t.Context()
	for _, name := range []string{"ann/app", "acme/app"} {
		if _, err := w.Ensure(ctx, w.ann, name); err != nil {
			t.Fatal(err)
		}
		w.role(t, w.ann, name, Admin)
		w.role(t, w.bert, name, None)
		w.role(t, w.boss, name, Admin)
		w.role(t, account.Principal{}, name, None)
	}
	w.role(t, w.ann, "ann/none", Admin)
	w.role(t, w.bert, "ann/none", None)
	w.role(t, w.bert, "nobody/none", None)
	_, err := w.Ensure(ctx, w.bert, "ann/new")
	is(t, "in another's namespace", err, errdefs.ErrPermissionDenied)
	_, err = w.Ensure(ctx, w.boss, "nobody/new")
	is(t, "in no namespace", err, errdefs.ErrNotFound)
	for _, name := range []string{"ann/UPPER", "ann//x", "ann/../x", "ann/" + strings.Repeat("x", 255), "", "ann/a'b"} {
		_, err = w.Create(ctx, w.ann, name, false)
		is(t, name, err, errdefs.ErrInvalidArgument)
	}
	give := func(g Grant, want error) {
		t.Helper()
		is(t, g.Kind+" "+g.Subject, w.Give(ctx, w.ann, g), want)
	}
	if _, err := w.accounts.CreateTeam(ctx, w.ann, "acme", "devs", ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.accounts.SetMember(ctx, w.ann, "acme", "bert", "member"), w.accounts.AddTeamMember(ctx, w.ann, "acme", "devs", "bert")); err != nil {
		t.Fatal(err)
	}
	w.role(t, w.bert, "acme/app", None)
	give(Grant{Namespace: "acme", Repository: "acme/app", Kind: "team", Subject: "devs", Role: Read}, nil)
	w.role(t, w.bert, "acme/app", Read)
	is(t, "a reader gives", w.Give(ctx, w.bert, Grant{Namespace: "acme", Repository: "acme/app", Kind: "user", Subject: "bert", Role: Admin}), errdefs.ErrPermissionDenied)
	give(Grant{Namespace: "acme", Kind: "team", Subject: "devs", Role: Write}, nil)
	w.role(t, w.bert, "acme/app", Write)
	w.role(t, w.bert, "acme/new", Write)
	w.role(t, w.bert, "ann/app", None)
	give(Grant{Namespace: "ann", Kind: "team", Subject: "devs", Role: Read}, errdefs.ErrNotFound) // a team of another namespace
	give(Grant{Namespace: "ann", Repository: "acme/app", Kind: "user", Subject: "bert", Role: Read}, errdefs.ErrInvalidArgument)
	give(Grant{Namespace: "ann", Kind: "god", Subject: "bert", Role: Read}, errdefs.ErrInvalidArgument)
	give(Grant{Namespace: "ann", Kind: "user", Subject: "x' OR '1'='1", Role: Read}, errdefs.ErrNotFound)
	narrow := w.ann
	narrow.Scopes = []account.Scope{account.ScopeRead}
	w.role(t, narrow, "ann/app", Read)
	narrow.Scopes = []account.Scope{account.ScopeAccount}
	w.role(t, narrow, "ann/app", None)
	r, secret, err := w.accounts.CreateRobot(ctx, w.ann, "acme", account.NewRobot{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	robot, err := w.accounts.Authenticate(ctx, r.Login(), secret)
	if err != nil {
		t.Fatal(err)
	}
	w.role(t, robot, "acme/app", None)
	give(Grant{Namespace: "acme", Repository: "acme/app", Kind: "robot", Subject: "ci", Role: Write}, nil)
	w.role(t, robot, "acme/app", Write)
	w.role(t, robot, "acme/new", None)
	if all, err := w.Grants(ctx, w.ann, "acme", "acme/app"); err != nil || len(all) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
	_, err = w.Grants(ctx, w.bert, "acme", "")
	is(t, "a writer's list of grants", err, errdefs.ErrPermissionDenied)
	if err := w.SetPublic(ctx, w.ann, "ann/app", true); err != nil {
		t.Error(err)
	}
	w.role(t, account.Principal{}, "ann/app", Read)
	w.role(t, w.bert, "ann/app", Read)
	is(t, "hidden", w.SetPublic(ctx, account.Principal{}, "acme/app", true), errdefs.ErrNotFound)
	is(t, "a writer opens", w.SetPublic(ctx, w.bert, "acme/app", true), errdefs.ErrPermissionDenied)
}

func testTags(t *testing.T, w *world) {
	ctx := t.Context()
	r, err := w.Ensure(ctx, w.ann, "ann/app")
	if err != nil {
		t.Fatal(err)
	}
	push := func(digest, tag, subject string) {
		t.Helper()
		w.clock = w.clock.Add(time.Second)
		m := Manifest{Digest: digest, MediaType: "m", ArtifactType: "a/" + digest, Size: 3 << 30, Total: 5 << 30, Subject: subject}
		if _, err := w.Pushed(ctx, w.ann, r, m, tag); err != nil {
			t.Fatal(err)
		}
	}
	push("one", "latest", "")
	push("one", "v1", "")
	push("two", "latest", "")
	push("two", "latest", "") // the same again
	push("sig", "", "two")
	push("sbom", "", "two")
	for i, want := range []string{"latest,v1", "v1", ""} {
		list, err := w.Tags(ctx, r, []string{"", "latest", "v1"}[i], 0)
		var names []string
		for _, tag := range list {
			names = append(names, tag.Name)
		}
		if got := strings.Join(names, ","); err != nil || got != want {
			t.Errorf("%d: %s, %v", i, got, err)
		}
	}
	if tag, err := w.Tag(ctx, r, "latest"); err != nil || tag.Digest != "two" || tag.Size != 3<<30 || tag.Total != 5<<30 || tag.Pusher != "ann" {
		t.Errorf("%+v, %v", tag, err)
	}
	if all, err := w.Referrers(ctx, r, "two", ""); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if some, err := w.Referrers(ctx, r, "two", "a/sig"); err != nil || len(some) != 1 || some[0].Digest != "sig" {
		t.Errorf("%+v, %v", some, err)
	}
	if h, err := w.History(ctx, r, "latest", 0); err != nil || len(h) != 2 || h[0].Digest != "two" || h[0].Previous != "one" || h[0].By != "ann" {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := w.Retag(ctx, w.ann, "ann/app", "latest", "one", Restore); err != nil {
		t.Error(err)
	}
	_, err = w.Retag(ctx, w.ann, "ann/app", "latest", "none", Restore)
	is(t, "what is not there", err, errdefs.ErrNotFound)
	_, err = w.Retag(ctx, w.bert, "ann/app", "latest", "one", Restore)
	is(t, "another's", err, errdefs.ErrNotFound)
	w.clock = w.clock.Add(time.Second)
	// Who may not is refused here, whoever called.
	_, err = w.Deleted(ctx, w.bert, r, "one")
	is(t, "a stranger deletes", err, errdefs.ErrNotFound)
	_, err = w.Untag(ctx, w.bert, r, "latest")
	is(t, "a stranger untags", err, errdefs.ErrNotFound)
	if err := w.Give(ctx, w.ann, Grant{Namespace: "ann", Repository: "ann/app", Kind: "user", Subject: "bert", Role: Write}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Untag(ctx, w.bert, r, "latest")
	is(t, "a writer untags", err, errdefs.ErrPermissionDenied)
	_, err = w.Deleted(ctx, w.bert, r, "one")
	is(t, "a writer deletes", err, errdefs.ErrPermissionDenied)
	if err := w.Take(ctx, w.ann, Grant{Namespace: "ann", Repository: "ann/app", Kind: "user", Subject: "bert", Role: Write}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Pushed(ctx, w.bert, r, Manifest{Digest: "three"}, "latest")
	is(t, "who may no longer push", err, errdefs.ErrNotFound)
	if changes, err := w.Deleted(ctx, w.ann, r, "one"); err != nil || len(changes) != 3 {
		t.Errorf("%+v, %v", changes, err)
	}
	_, err = w.Tag(ctx, r, "latest")
	is(t, "a tag of what was deleted", err, errdefs.ErrNotFound)
	_, err = w.Manifest(ctx, r, "one")
	is(t, "what was deleted", err, errdefs.ErrNotFound)
	_, err = w.Untag(ctx, w.ann, r, "latest")
	is(t, "no tag", err, errdefs.ErrNotFound)
	w.Pulled(r, "latest")
	w.Pulled(r, "")
	if err := w.FlushPulls(ctx); err != nil {
		t.Error(err)
	}
	if r, _, err := w.Find(ctx, w.ann, "ann/app"); err != nil || r.Pulls != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func testLists(t *testing.T, w *world) {
	ctx := t.Context()
	for _, name := range []string{"ann/b", "ann/a-1", "ann/a_1", "ann/a.1", "ann/a", "acme/x"} {
		if _, err := w.Create(ctx, w.ann, name, name != "acme/x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.SetText(ctx, w.ann, "ann/b", "50% of _all_ Nginx", "# hi"); err != nil {
		t.Fatal(err)
	}
	for want, q := range map[string]Query{
		"ann/a ann/a-1 ann/a.1 ann/a_1 ann/b": {},
		"ann/a-1 ann/a.1":                     {After: "ann/a", Limit: 2},
		"ann/b":                               {Search: "NGINX 50%"},
		"ann/a_1 ann/b":                       {Search: "_"},
		"":                                    {Namespace: "acme"},
	} {
		var names []string
		list, err := w.List(ctx, w.bert, q)
		for _, r := range list {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%+v: %q, not %q; %v", q, got, want, err)
		}
	}
	n := 0
	if err := w.All(ctx, func(Repository) error { n++; return nil }); err != nil || n != 6 {
		t.Errorf("%d, %v", n, err)
	}
}

func testMoves(t *testing.T, w *world) {
	ctx := t.Context()
	r, err := w.Create(ctx, w.ann, "ann/app", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Give(ctx, w.ann, Grant{Namespace: "ann", Repository: "ann/app", Kind: "user", Subject: "bert", Role: Admin}); err != nil {
		t.Fatal(err)
	}
	is(t, "into another's namespace", w.Rename(ctx, w.ann, "ann/app", "bert/app"), errdefs.ErrPermissionDenied)
	if err := w.Rename(ctx, w.bert, "ann/app", "bert/app"); err != nil {
		t.Error(err)
	}
	w.role(t, w.ann, "bert/app", None)
	w.role(t, w.bert, "bert/app", Admin)
	if role, err := w.Role(ctx, w.ann, "ann/app"); err != nil || role != Admin { // it leads to bert's, but ann may take it again
		t.Errorf("%s, %v", role, err)
	}
	if moved, _, err := w.Find(ctx, w.bert, "ann/app"); err != nil || moved.ID != r.ID || moved.Storage != r.Storage || moved.Name != "bert/app" {
		t.Errorf("%+v, %v", moved, err)
	}
	if again, err := w.Ensure(ctx, w.ann, "ann/app"); err != nil || again.ID == r.ID {
		t.Errorf("the old name, taken again: %v", err)
	}
	w.role(t, w.ann, "ann/app", Admin)
	is(t, "a name that is taken", w.Rename(ctx, w.bert, "bert/app", "bert/app"), errdefs.ErrAlreadyExists)
	is(t, "the owner of the namespace leaves", w.accounts.DeleteUser(ctx, w.boss, "bert"), errdefs.ErrFailedPrecondition)
	if err := w.Remove(ctx, w.bert, "bert/app"); err != nil {
		t.Error(err)
	}
	_, _, err = w.Find(ctx, w.bert, "bert/app")
	is(t, "removed", err, errdefs.ErrNotFound)
}

// testHooks: what a hook wrote is there if and only if the change is.
func testHooks(t *testing.T, w *world) {
	ctx := t.Context()
	r, err := w.Create(ctx, w.ann, "ann/app", false)
	if err != nil {
		t.Fatal(err)
	}
	frozen := false
	w.OnChange(func(ctx context.Context, tx *store.Tx, c Change) error {
		if _, err := tx.Exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?)", store.NewID(), c.Tag+" "+c.Previous+">"+c.Digest); err != nil {
			return err
		}
		if frozen {
			return errdefs.ErrFailedPrecondition
		}
		return nil
	})
	if _, err := w.Pushed(ctx, w.ann, r, Manifest{Digest: "one"}, "v1"); err != nil {
		t.Fatal(err)
	}
	frozen = true
	_, err = w.Pushed(ctx, w.ann, r, Manifest{Digest: "two"}, "v1")
	is(t, "refused by a hook", err, errdefs.ErrFailedPrecondition)
	if tag, err := w.Tag(ctx, r, "v1"); err != nil || tag.Digest != "one" {
		t.Errorf("%+v, %v", tag, err)
	}
	var n int64
	if err := w.db.QueryRow(ctx, "SELECT count(*) FROM settings WHERE value LIKE 'v1 %'").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d notes, %v", n, err)
	}
	_, err = w.Manifest(ctx, r, "two")
	is(t, "the refused manifest", err, errdefs.ErrNotFound)
}
