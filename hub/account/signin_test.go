package account

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// code is what an authenticator shows for a secret now.
func (w *world) code(t *testing.T, secret string) string {
	t.Helper()
	c, err := code(secret, w.clock.Unix()/period)
	if err != nil {
		t.Fatal(err)
	}
	return c
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
