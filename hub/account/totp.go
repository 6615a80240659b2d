package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6238's default, and the one that authenticators know
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// period is how long a code is shown (RFC 6238); one before and one after the
// present one are taken, for clocks that differ.
const period = 30

// recoveryCodes is how many single-use codes replace a lost authenticator.
const recoveryCodes = 10

// code is RFC 6238's code of six digits for a step.
func code(secret string, step int64) (string, error) {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, step) // a hash takes all
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:at+4]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000), nil
}

// acceptedStep returns the step whose code was given, later than last; 0 is
// none.
func acceptedStep(secret, given string, now time.Time, last int64) (int64, error) {
	present := now.Unix() / period
	for step := present - 1; step <= present+1; step++ {
		want, err := code(secret, step)
		if err != nil {
			return 0, err
		}
		if step > last && subtle.ConstantTimeCompare([]byte(want), []byte(given)) == 1 {
			return step, nil
		}
	}
	return 0, nil
}

// Sealed is where secrets of second factors are. Before they were sealed they
// were kept as base32.
func Sealed() []seal.Column {
	return []seal.Column{{Table: "users", Key: "id", Name: "totp", Purpose: totpPurpose, Plain: true}}
}

func totpPurpose(user string) string { return "second factor " + user }

var errNoKey = fmt.Errorf("%w: second factors need the key that seals their secrets, which only `berth-hub serve` has", errdefs.ErrNotImplemented)

// openTOTP gives a user's secret back; "" there is none.
func (s *Service) openTOTP(user, sealed string) (string, error) {
	switch {
	case sealed == "":
		return "", nil
	case s.key == nil:
		return "", errNoKey
	}
	return s.key.Open(totpPurpose(user), sealed)
}

// StartTOTP makes a secret for an authenticator and the otpauth URI that it can
// scan. It counts only once ConfirmTOTP has seen a code.
func (s *Service) StartTOTP(ctx context.Context, by Principal) (secret, uri string, err error) {
	if s.key == nil {
		return "", "", errNoKey
	}
	raw := make([]byte, 20)
	if _, err := rand.Read(raw); err != nil {
		return "", "", err
	}
	secret = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
	err = s.do(ctx, act{by: by, action: "totp.start", namespace: by.Name, target: by.Name}, func(tx *store.Tx) error {
		if err := needSelf(by); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "UPDATE users SET totp = ? WHERE id = ? AND totp_on = 0", s.key.Seal(totpPurpose(by.ID), secret), by.ID)
		if err == nil && n == 0 {
			return fmt.Errorf("%w: there is a second factor already: switch it off first", errdefs.ErrFailedPrecondition)
		}
		return err
	})
	if err != nil {
		return "", "", err
	}
	query := url.Values{"secret": {secret}, "issuer": {"Berth Hub"}}
	return secret, (&url.URL{Scheme: "otpauth", Host: "totp", Path: "/Berth Hub:" + by.Name, RawQuery: query.Encode()}).String(), nil
}

// ConfirmTOTP switches the second factor on and returns the recovery codes,
// which are shown this once.
func (s *Service) ConfirmTOTP(ctx context.Context, by Principal, given string) (recovery []string, err error) {
	err = s.do(ctx, act{by: by, action: "totp.on", namespace: by.Name, target: by.Name}, func(tx *store.Tx) error {
		recovery = nil
		if err := needSelf(by); err != nil {
			return err
		}
		var secret string
		if err := tx.QueryRow(ctx, "SELECT totp FROM users WHERE id = ? AND totp_on = 0", by.ID).Scan(&secret); err != nil {
			return err
		}
		secret, err := s.openTOTP(by.ID, secret)
		if err != nil {
			return err
		}
		step, err := acceptedStep(secret, given, s.now(), 0)
		if err != nil {
			return err
		}
		if secret == "" || step == 0 {
			return fmt.Errorf("%w: this is not the authenticator's present code", errdefs.ErrInvalidArgument)
		}
		if _, err := tx.Exec(ctx, "UPDATE users SET totp_on = 1, totp_step = ? WHERE id = ?", step, by.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM recovery_codes WHERE user_id = ?", by.ID); err != nil {
			return err
		}
		for range recoveryCodes {
			c := store.NewID()
			recovery = append(recovery, c)
			if _, err := tx.Exec(ctx, "INSERT INTO recovery_codes (user_id, hash) VALUES (?, ?)", by.ID, digestOf(c)); err != nil {
				return err
			}
		}
		return nil
	})
	return recovery, err
}

// DisableTOTP switches the second factor off, for who knows the password and
// has a code.
func (s *Service) DisableTOTP(ctx context.Context, by Principal, password, given string) error {
	if err := needSelf(by); err != nil {
		return err
	}
	u, err := s.byPassword(ctx, by.Name, password)
	if err != nil {
		return err
	}
	if u.TOTP {
		if err := s.secondFactor(ctx, u, given); err != nil {
			return err
		}
	}
	return s.do(ctx, act{by: by, action: "totp.off", namespace: by.Name, target: by.Name}, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE users SET totp = '', totp_on = 0 WHERE id = ?", by.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM recovery_codes WHERE user_id = ?", by.ID)
		return err
	})
}

// secondFactor checks a code of the authenticator, each of which is good once,
// or a recovery code. A wrong one counts as a failed sign-in.
func (s *Service) secondFactor(ctx context.Context, u User, given string) error {
	given = strings.ToLower(strings.TrimSpace(given))
	if given == "" {
		return ErrCodeNeeded
	}
	remote := audit.Remote(ctx)
	all := limits(u.Name, remote)
	if err := s.admit(ctx, all); err != nil {
		return err
	}
	right := false
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		var secret string
		var last int64
		if err := tx.QueryRow(ctx, "SELECT totp, totp_step FROM users WHERE id = ?", u.ID).Scan(&secret, &last); err != nil {
			return err
		}
		secret, lost := s.openTOTP(u.ID, secret)
		var step int64
		if lost == nil {
			var err error
			if step, err = acceptedStep(secret, given, s.now(), last); err != nil {
				return err
			}
		}
		if step > 0 {
			right = true
			_, err := tx.Exec(ctx, "UPDATE users SET totp_step = ? WHERE id = ?", step, u.ID)
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM recovery_codes WHERE user_id = ? AND hash = ?", u.ID, digestOf(given))
		if right = n > 0; err == nil && !right {
			err = lost // recovery codes are good without the key
		}
		return err
	})
	if err != nil {
		return err
	}
	if !right {
		if err := s.refuse(ctx, u.Name, all); err != ErrBadCredentials { //nolint:errorlint // refuse returns it as it is
			return err
		}
		return fmt.Errorf("%w: this is not the authenticator's present code", errdefs.ErrUnauthenticated)
	}
	return s.succeeded(ctx, u.Name, remote)
}
