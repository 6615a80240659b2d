package account

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
)

// world is a Hub with an administrator and two users, and a clock to turn.
type world struct {
	*Service
	db               *store.DB
	clock            time.Time
	admin, ann, bert Principal
}

const password = "correct horse"

var suite = map[string]func(*testing.T, *world){
	"first": testFirstRun, "names": testNames, "lock": testLockOut, "tokens": testTokens, "totp": testTOTP, "sealed": testTOTPSealed,
	"sessions": testSessions, "organisations": testOrganisations, "robots": testRobots, "admins": testAdministration,
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	db := storetest.Open(t, url)
	w := &world{db: db, clock: time.Now()}
	key, err := seal.New([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	w.Service = New(db, Options{Now: func() time.Time { return w.clock }, Key: key})
	token, err := w.FirstRun(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := w.Setup(t.Context(), token, NewUser{Name: "boss", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	w.admin = admin.Principal()
	for name, p := range map[string]*Principal{"ann": &w.ann, "bert": &w.bert} {
		u, err := w.CreateUser(t.Context(), w.admin, NewUser{Name: name, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		*p = u.Principal()
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

// is fails the test unless an error is of a kind.
func is(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v, not %v", what, err, kind)
	}
}

func testFirstRun(t *testing.T, w *world) {
	ctx := t.Context()
	if token, err := w.FirstRun(ctx, true); err != nil || token != "" {
		t.Errorf("a Hub with users gave the token %q, %v", token, err)
	}
	if _, err := w.Setup(ctx, "", NewUser{Name: "evil", Password: password}); !errdefs.IsUnauthorized(err) {
		t.Errorf("set up twice: %v", err)
	}
	if _, err := w.db.Exec(ctx, "DELETE FROM namespaces"); err != nil {
		t.Fatal(err)
	}
	first, err := w.FirstRun(ctx, false)
	if err != nil || first == "" {
		t.Fatal(first, err)
	}
	if again, err := w.FirstRun(ctx, false); err != nil || again != "" {
		t.Errorf("the token was given twice: %q, %v", again, err)
	}
	second, err := w.FirstRun(ctx, true)
	if err != nil || second == "" {
		t.Fatal(second, err)
	}
	_, err = w.Setup(ctx, first, NewUser{Name: "evil", Password: password})
	is(t, "the old token", err, errdefs.ErrUnauthenticated)
	if _, err = w.Setup(ctx, second, NewUser{Name: "root", Password: password}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a reserved name: %v", err)
	}
	u, err := w.Setup(ctx, second, NewUser{Name: "captain", Password: password})
	if err != nil || !u.Admin {
		t.Errorf("%+v, %v", u, err)
	}
	_, err = w.Setup(ctx, second, NewUser{Name: "evil", Password: password})
	is(t, "the token again", err, errdefs.ErrUnauthenticated)
}

func testNames(t *testing.T, w *world) {
	for _, n := range []NewUser{
		{Name: "a"},
		{Name: "Ann"},
		{Name: "../x"},
		{Name: "a/b"},
		{Name: "a b"},
		{Name: "a+b"},
		{Name: "-a"},
		{Name: "library"},
		{Name: strings.Repeat("a", 65)},
		{Name: "x' OR '1'='1"},
		{Name: "carl", Password: "short"},
		{Name: "carl", Password: "carl is my name"},
		{Name: "carl", Password: strings.Repeat("x", 257)},
		{Name: "carl", Email: "x\r\nBcc: y@z"},
		{Name: "carl", Email: "A <a@b.c>"},
	} {
		if n.Password == "" {
			n.Password = password
		}
		_, err := w.CreateUser(t.Context(), w.admin, n)
		is(t, n.Name, err, errdefs.ErrInvalidArgument)
	}
	_, err := w.CreateUser(t.Context(), w.admin, NewUser{Name: "ann", Password: password})
	is(t, "the same name", err, errdefs.ErrAlreadyExists)
	_, err = w.CreateOrganisation(t.Context(), w.ann, "bert")
	is(t, "an organisation with a user's name", err, errdefs.ErrAlreadyExists)
	_, err = w.CreateUser(t.Context(), w.ann, NewUser{Name: "carl", Password: password})
	is(t, "made by a user", err, errdefs.ErrPermissionDenied)
	_, err = w.SignUp(t.Context(), NewUser{Name: "carl", Password: password})
	is(t, "sign-up where it is closed", err, errdefs.ErrPermissionDenied)
	w.signUp = true
	for i := range 11 {
		name := "new" + string(rune('a'+i))
		u, err := w.SignUp(t.Context(), NewUser{Name: name, Password: password, Admin: true})
		switch {
		case i < 10 && (err != nil || u.Admin):
			t.Errorf("%s: %+v, %v", name, u, err)
		case i == 10:
			is(t, "the eleventh from an address", err, errdefs.ErrResourceExhausted)
		}
	}
	var stored string
	if err := w.db.QueryRow(t.Context(), "SELECT password FROM users WHERE id = ?", w.ann.ID).Scan(&stored); err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("stored %q, %v", stored, err)
	}
}

func testAdministration(t *testing.T, w *world) {
	ctx := context.WithoutCancel(t.Context())
	is(t, "a user", w.SetDisabled(ctx, w.ann, "bert", true), errdefs.ErrPermissionDenied)
	is(t, "the last administrator", w.SetAdmin(ctx, w.admin, "boss", false), errdefs.ErrFailedPrecondition)
	is(t, "the last administrator", w.SetDisabled(ctx, w.admin, "boss", true), errdefs.ErrFailedPrecondition)
	is(t, "the last administrator", w.DeleteUser(ctx, w.admin, "boss"), errdefs.ErrFailedPrecondition)
	narrow := w.admin
	narrow.Scopes = []Scope{ScopeAccount}
	is(t, "a token without the scope", w.SetDisabled(ctx, narrow, "bert", true), errdefs.ErrPermissionDenied)
	if err := w.SetDisabled(ctx, w.admin, "bert", true); err != nil {
		t.Fatal(err)
	}
	_, err := w.Authenticate(ctx, "bert", password)
	is(t, "a disabled account", err, ErrBadCredentials)
	_, err = w.Current(ctx, w.bert, w.clock)
	is(t, "disabled since", err, ErrBadCredentials)
	_, err = w.Current(ctx, System("x"), w.clock)
	is(t, "a request as the Hub itself", err, ErrBadCredentials)
	if err := w.SetDisabled(ctx, w.admin, "bert", false); err != nil {
		t.Fatal(err)
	}
	if err := w.ResetPassword(ctx, w.admin, "bert", "a new password"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Authenticate(ctx, "bert", "a new password"); err != nil {
		t.Error(err)
	}
	if err := w.DeleteUser(ctx, w.admin, "bert"); err != nil {
		t.Error(err)
	}
	_, err = w.User(ctx, "bert")
	is(t, "deleted", err, errdefs.ErrNotFound)
	all, err := w.Users(ctx, w.admin, "", 0)
	if err != nil || len(all) != 2 || all[1].Name != "boss" || !all[1].Admin {
		t.Errorf("%+v, %v", all, err)
	}
}
