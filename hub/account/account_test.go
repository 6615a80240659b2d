package account

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/audit"
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

// code is what an authenticator shows for a secret now.
func (w *world) code(t *testing.T, secret string) string {
	t.Helper()
	c, err := code(secret, w.clock.Unix()/period)
	if err != nil {
		t.Fatal(err)
	}
	return c
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

func testLockOut(t *testing.T, w *world) {
	home := audit.WithRemote(t.Context(), "192.0.2.1")
	for range 5 {
		_, err := w.Authenticate(home, "ann", "wrong")
		is(t, "a wrong password", err, ErrBadCredentials)
	}
	_, err := w.Authenticate(home, "ann", password)
	is(t, "the right password after five wrong ones", err, errdefs.ErrResourceExhausted)
	var limited *Limited
	if !errors.As(err, &limited) || limited.Until.Sub(w.clock) > time.Minute {
		t.Errorf("locked until %v", err)
	}
	if _, err := w.Authenticate(audit.WithRemote(t.Context(), "192.0.2.2"), "ann", password); err != nil {
		t.Errorf("from another address: %v", err)
	}
	w.clock = w.clock.Add(31 * time.Second)
	_, err = w.Authenticate(home, "ann", "wrong")
	is(t, "wrong again", err, ErrBadCredentials)
	w.clock = w.clock.Add(31 * time.Second)
	_, err = w.Authenticate(home, "ann", password)
	is(t, "the lock was not doubled", err, errdefs.ErrResourceExhausted)
	w.clock = w.clock.Add(31 * time.Second)
	if _, err := w.Authenticate(home, "ann", password); err != nil {
		t.Errorf("after the lock: %v", err)
	}
	// What is there and what is not answer alike, and no name is too strange.
	for _, name := range []string{"nobody", "", "x' OR '1'='1' --", strings.Repeat("x", 5000), "a\x00b", "\xff", "ann+ci", "robots+'"} {
		_, err := w.Authenticate(audit.WithRemote(t.Context(), "192.0.2.3"), name, "wrong")
		is(t, name, err, ErrBadCredentials)
	}
	// One address that tries many names is locked for all of them.
	evil := audit.WithRemote(t.Context(), "2001:db8::1")
	if err := w.db.Tx(evil, func(tx *store.Tx) error {
		for range 100 {
			if err := w.failed(evil, tx, fromLimit("2001:db8::1")); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Authenticate(audit.WithRemote(t.Context(), "2001:db8::2"), "bert", password)
	is(t, "another address of the network", err, errdefs.ErrResourceExhausted)
	if _, err := w.Authenticate(audit.WithRemote(t.Context(), "2001:db8:0:1::2"), "bert", password); err != nil {
		t.Errorf("another network: %v", err)
	}
}

func testTokens(t *testing.T, w *world) {
	ctx := t.Context()
	for _, n := range []NewToken{{Name: "x"}, {Scopes: Scopes}, {Name: "x", Scopes: []Scope{"root"}}, {Name: "x", Scopes: Scopes, Expires: w.clock.Add(-1)}} {
		_, _, err := w.CreateToken(ctx, w.ann, n)
		is(t, "a bad token", err, errdefs.ErrInvalidArgument)
	}
	token, secret, err := w.CreateToken(ctx, w.ann, NewToken{Name: "ci", Scopes: []Scope{ScopeWrite}, Expires: w.clock.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Authenticate(ctx, "ann", secret)
	if err != nil || p.ID != w.ann.ID || p.Credential != token.ID || p.Allows(ScopeAdmin) || !p.Allows(ScopeRead) || p.Allows(ScopeAccount) {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := w.AuthenticateToken(ctx, secret); err != nil || p.ID != w.ann.ID {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = w.Authenticate(ctx, "bert", secret)
	is(t, "another's name", err, ErrBadCredentials)
	_, _, err = w.CreateToken(ctx, p, NewToken{Name: "more", Scopes: Scopes})
	is(t, "a token made a token", err, errdefs.ErrPermissionDenied)
	err = w.ChangePassword(ctx, p, password, "another password", "")
	is(t, "a token changed the password", err, errdefs.ErrPermissionDenied)
	err = w.RevokeToken(ctx, w.bert, token.ID)
	is(t, "another's token", err, errdefs.ErrNotFound)
	if _, err := w.Current(ctx, p, w.clock); err != nil {
		t.Error(err)
	}
	w.clock = w.clock.Add(time.Hour)
	_, err = w.Authenticate(ctx, "ann", secret)
	is(t, "expired", err, ErrBadCredentials)
	_, err = w.Current(ctx, p, w.clock)
	is(t, "expired since", err, ErrBadCredentials)
	w.clock = w.clock.Add(-time.Hour)
	if err := w.RevokeToken(ctx, w.ann, token.ID); err != nil {
		t.Error(err)
	}
	_, err = w.Authenticate(ctx, "ann", secret)
	is(t, "revoked", err, ErrBadCredentials)
	_, err = w.Current(ctx, p, w.clock)
	is(t, "revoked since", err, ErrBadCredentials)
	noSecrets(t, w, secret, strings.TrimPrefix(secret, tokenPrefix))
}

// noSecrets looks for secrets in every text that the audit log and the tables
// of credentials hold.
func noSecrets(t *testing.T, w *world, secrets ...string) {
	t.Helper()
	for _, query := range []string{
		"SELECT action || ' ' || target || ' ' || name || ' ' || detail FROM audit", "SELECT hash || name FROM access_tokens",
		"SELECT hash || name FROM robots", "SELECT password FROM users", "SELECT hash FROM sessions", "SELECT hash FROM recovery_codes",
		"SELECT key FROM attempts", "SELECT value FROM settings",
	} {
		rows, err := w.db.Query(t.Context(), query)
		all, err := store.Collect(rows, err, func(s store.Scanner) (text string, err error) { return text, s.Scan(&text) })
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range all {
			for _, secret := range append(secrets, password, "wrong") {
				if strings.Contains(text, secret) {
					t.Errorf("%s has a secret: %s", query, text)
				}
			}
		}
	}
}

func testTOTP(t *testing.T, w *world) {
	ctx := t.Context()
	// RFC 6238's first vectors, of the last six digits.
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 20000000000: "353130"} {
		if got, err := code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", at/period); err != nil || got != want {
			t.Errorf("code at %d: %s, %v", at, got, err)
		}
	}
	secret, uri, err := w.StartTOTP(ctx, w.ann)
	if err != nil || !strings.HasPrefix(uri, "otpauth://totp/Berth%20Hub:ann?") || !strings.Contains(uri, secret) {
		t.Fatal(uri, err)
	}
	if _, err := w.Authenticate(ctx, "ann", password); err != nil {
		t.Errorf("before it was confirmed: %v", err)
	}
	_, err = w.ConfirmTOTP(ctx, w.ann, "000000")
	is(t, "a wrong code", err, errdefs.ErrInvalidArgument)
	now := func() string { return w.code(t, secret) }
	recovery, err := w.ConfirmTOTP(ctx, w.ann, now())
	if err != nil || len(recovery) != recoveryCodes {
		t.Fatal(recovery, err)
	}
	_, err = w.Authenticate(ctx, "ann", password)
	is(t, "the password alone", err, ErrTokenNeeded)
	login := func(code string) error {
		_, _, err := w.Login(ctx, Credentials{Name: "ann", Password: password, Code: code})
		return err
	}
	is(t, "no code", login(""), ErrCodeNeeded)
	is(t, "the code of the confirmation again", login(now()), errdefs.ErrUnauthenticated)
	w.clock = w.clock.Add(period * time.Second)
	if err := login(" " + now()); err != nil {
		t.Errorf("the next code: %v", err)
	}
	if err := login(recovery[3]); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
	is(t, "a recovery code twice", login(recovery[3]), errdefs.ErrUnauthenticated)
	is(t, "off without a code", w.DisableTOTP(ctx, w.ann, password, ""), ErrCodeNeeded)
	for range 4 {
		is(t, "guessing", login("123456"), errdefs.ErrUnauthenticated)
	}
	is(t, "too many guesses", login(recovery[4]), errdefs.ErrResourceExhausted)
	w.clock = w.clock.Add(2 * time.Hour)
	if err := w.DisableTOTP(ctx, w.ann, password, recovery[4]); err != nil {
		t.Error(err)
	}
	if _, err := w.Authenticate(ctx, "ann", password); err != nil {
		t.Errorf("switched off: %v", err)
	}
	noSecrets(t, w, recovery...)
}

func testSessions(t *testing.T, w *world) {
	ctx := audit.WithRemote(t.Context(), "192.0.2.1")
	login := func() (Session, string) {
		s, cookie, err := w.Login(ctx, Credentials{Name: "ann", Password: password, Agent: "browser"})
		if err != nil {
			t.Fatal(err)
		}
		return s, cookie
	}
	_, first := login()
	second, cookie := login()
	if s, err := w.Session(ctx, cookie); err != nil || s.User.Name != "ann" || s.CSRF != second.CSRF || s.CSRF == "" {
		t.Errorf("%+v, %v", s, err)
	}
	if all, err := w.Sessions(ctx, w.ann); err != nil || len(all) != 2 || all[0].Remote != "192.0.2.1" || all[0].Agent != "browser" {
		t.Errorf("%+v, %v", all, err)
	}
	is(t, "another's session", w.EndSession(ctx, w.bert, second.ID), errdefs.ErrNotFound)
	is(t, "the wrong old password", w.ChangePassword(ctx, w.ann, "wrong", "another password", second.ID), ErrBadCredentials)
	is(t, "a short password", w.ChangePassword(ctx, w.ann, password, "short", second.ID), errdefs.ErrInvalidArgument)
	before := w.clock
	w.clock = w.clock.Add(time.Minute)
	if err := w.ChangePassword(ctx, w.ann, password, "another password", second.ID); err != nil {
		t.Error(err)
	}
	_, err := w.Session(ctx, first)
	is(t, "a session after the password changed", err, errdefs.ErrUnauthenticated)
	_, err = w.Current(ctx, w.ann, before)
	is(t, "an identity from before the change", err, ErrBadCredentials)
	if _, err := w.Session(ctx, cookie); err != nil {
		t.Errorf("the session that was kept: %v", err)
	}
	w.clock = w.clock.Add(25 * time.Hour)
	_, err = w.Session(ctx, cookie)
	is(t, "unused for a day", err, errdefs.ErrUnauthenticated)
	_, cookie, err = w.Login(ctx, Credentials{Name: "ann", Password: "another password"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Logout(ctx, cookie); err != nil {
		t.Error(err)
	}
	_, err = w.Session(ctx, cookie)
	is(t, "signed out", err, errdefs.ErrUnauthenticated)
	noSecrets(t, w, cookie, first, "another password")
}

func testOrganisations(t *testing.T, w *world) {
	ctx := t.Context()
	if _, err := w.CreateOrganisation(ctx, w.ann, "acme"); err != nil {
		t.Fatal(err)
	}
	is(t, "a stranger", w.SetMember(ctx, w.bert, "acme", "bert", "owner"), errdefs.ErrPermissionDenied)
	_, err := w.Members(ctx, w.bert, "acme")
	is(t, "a stranger's list", err, errdefs.ErrPermissionDenied)
	is(t, "the last owner", w.RemoveMember(ctx, w.ann, "acme", "ann"), errdefs.ErrFailedPrecondition)
	is(t, "the last owner's role", w.SetMember(ctx, w.ann, "acme", "ann", "member"), errdefs.ErrFailedPrecondition)
	if _, err := w.CreateTeam(ctx, w.ann, "acme", "devs", ""); err != nil {
		t.Fatal(err)
	}
	is(t, "not a member", w.AddTeamMember(ctx, w.ann, "acme", "devs", "bert"), errdefs.ErrFailedPrecondition)
	is(t, "nobody", w.SetMember(ctx, w.ann, "acme", "nobody", "member"), errdefs.ErrNotFound)
	is(t, "no role", w.SetMember(ctx, w.ann, "acme", "bert", "king"), errdefs.ErrInvalidArgument)
	if err := errors.Join(w.SetMember(ctx, w.ann, "acme", "bert", "member"), w.AddTeamMember(ctx, w.ann, "acme", "devs", "bert")); err != nil {
		t.Fatal(err)
	}
	is(t, "a member rules", w.SetMember(ctx, w.bert, "acme", "bert", "owner"), errdefs.ErrPermissionDenied)
	is(t, "a user's namespace", w.SetMember(ctx, w.ann, "ann", "bert", "owner"), errdefs.ErrInvalidArgument)
	if names, err := w.TeamMembers(ctx, w.bert, "acme", "devs"); err != nil || len(names) != 1 || names[0] != "bert" {
		t.Errorf("%v, %v", names, err)
	}
	if err := w.RemoveMember(ctx, w.bert, "acme", "bert"); err != nil {
		t.Errorf("leaving: %v", err)
	}
	if names, err := w.TeamMembers(ctx, w.ann, "acme", "devs"); err != nil || len(names) != 0 {
		t.Errorf("still in the team: %v, %v", names, err)
	}
	entries, err := w.Audit(ctx, w.ann, audit.Filter{Namespace: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range entries {
		seen[e.Action+" "+e.Result]++
	}
	for _, want := range []string{"organisation.create ok", "member.set ok", "member.set refused", "team.create ok", "member.remove ok"} {
		if seen[want] == 0 {
			t.Errorf("the audit log has no %q: %v", want, seen)
		}
	}
	_, err = w.Audit(ctx, w.bert, audit.Filter{Namespace: "acme"})
	is(t, "a stranger's audit", err, errdefs.ErrPermissionDenied)
	_, err = w.Audit(ctx, w.bert, audit.Filter{})
	is(t, "the whole audit", err, errdefs.ErrPermissionDenied)
	if err := w.DeleteOrganisation(ctx, w.ann, "acme"); err != nil {
		t.Error(err)
	}
}

func testRobots(t *testing.T, w *world) {
	ctx := t.Context()
	_, _, err := w.CreateRobot(ctx, w.bert, "ann", NewRobot{Name: "ci"})
	is(t, "in another's namespace", err, errdefs.ErrPermissionDenied)
	r, secret, err := w.CreateRobot(ctx, w.ann, "ann", NewRobot{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Authenticate(ctx, "ann+ci", secret)
	if err != nil || p.Kind != KindRobot || p.ID != r.ID {
		t.Errorf("%+v, %v", p, err)
	}
	for _, name := range []string{"bert+ci", "ann+other", "ann"} {
		_, err := w.Authenticate(ctx, name, secret)
		is(t, name, err, ErrBadCredentials)
	}
	_, err = w.CreateOrganisation(ctx, p, "robots-inc")
	is(t, "a robot made an organisation", err, errdefs.ErrPermissionDenied)
	w.clock = w.clock.Add(time.Minute)
	fresh, err := w.RenewRobot(ctx, w.ann, "ann", "ci")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Authenticate(ctx, "ann+ci", secret)
	is(t, "the old secret", err, ErrBadCredentials)
	_, err = w.Current(ctx, p, w.clock.Add(-time.Second))
	is(t, "an identity by the old secret", err, ErrBadCredentials)
	if _, err := w.Authenticate(ctx, "ann+ci", fresh); err != nil {
		t.Error(err)
	}
	if err := w.SetRobotDisabled(ctx, w.ann, "ann", "ci", true); err != nil {
		t.Error(err)
	}
	_, err = w.Authenticate(ctx, "ann+ci", fresh)
	is(t, "disabled", err, ErrBadCredentials)
	if all, err := w.Robots(ctx, w.ann, "ann"); err != nil || len(all) != 1 || !all[0].Disabled || all[0].Login() != "ann+ci" {
		t.Errorf("%+v, %v", all, err)
	}
	if err := w.DeleteRobot(ctx, w.ann, "ann", "ci"); err != nil {
		t.Error(err)
	}
	noSecrets(t, w, secret, fresh)
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
