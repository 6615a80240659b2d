package account

import (
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

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
