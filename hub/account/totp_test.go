package account

import (
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/seal"
	"github.com/containerd/errdefs"
)

// testTOTPSealed: the database has no secret of a second factor that can be
// used; one from before they were sealed is sealed, and goes on; without the key
// recovery codes are what is left.
func testTOTPSealed(t *testing.T, w *world) {
	ctx := t.Context()
	kept := func() (text string) {
		t.Helper()
		if err := w.db.QueryRow(ctx, "SELECT totp FROM users WHERE id = ?", w.ann.ID).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	secret, _, err := w.StartTOTP(ctx, w.ann)
	if err != nil {
		t.Fatal(err)
	}
	if got := kept(); !strings.HasPrefix(got, "v1.") || strings.Contains(got, secret) {
		t.Fatalf("%s is kept as %s", secret, got)
	}
	now := func() string { return w.code(t, secret) }
	recovery, err := w.ConfirmTOTP(ctx, w.ann, now())
	if err != nil {
		t.Fatal(err)
	}
	// As an earlier Hub kept it.
	if _, err := w.db.Exec(ctx, "UPDATE users SET totp = ? WHERE id = ?", secret, w.ann.ID); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if done, err := w.key.Reseal(ctx, w.db, Sealed()...); err != nil || done.Sealed != want || len(done.Lost) > 0 {
			t.Errorf("%+v, %v", done, err)
		}
	}
	if got := kept(); strings.Contains(got, secret) {
		t.Errorf("still %s", got)
	}
	login := func(s *Service, code string) error {
		_, _, err := s.Login(ctx, Credentials{Name: "ann", Password: password, Code: code})
		return err
	}
	w.clock = w.clock.Add(period * 1e9)
	if err := login(w.Service, now()); err != nil {
		t.Errorf("with a secret that was sealed later: %v", err)
	}
	// Another's sealed secret does not open in ann's row.
	if _, err := w.db.Exec(ctx, "UPDATE users SET totp = ? WHERE id = ?", w.key.Seal(totpPurpose(w.bert.ID), secret), w.ann.ID); err != nil {
		t.Fatal(err)
	}
	w.clock = w.clock.Add(period * 1e9)
	is(t, "another user's", login(w.Service, now()), errdefs.ErrFailedPrecondition)

	other, err := seal.New([32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	lost := New(w.db, Options{Now: w.now, Key: other})
	is(t, "a code with another key", login(lost, now()), errdefs.ErrFailedPrecondition)
	if err := login(lost, recovery[0]); err != nil {
		t.Errorf("a recovery code with another key: %v", err)
	}
	none := New(w.db, Options{Now: w.now})
	is(t, "a code without a key", login(none, now()), errdefs.ErrNotImplemented)
	_, _, err = none.StartTOTP(ctx, w.bert)
	is(t, "setting up without a key", err, errdefs.ErrNotImplemented)
}
