package site

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
)

// maxForm bounds the body of a request: a README is the largest thing sent.
const maxForm = 1 << 20

// policy allows what the Hub itself serves and nothing inline. Pictures may come
// from other hosts for READMEs' sake; no referrer tells them from where.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (s *Site) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if r.TLS != nil || s.Secure {
			h.Set("Cross-Origin-Opener-Policy", "same-origin") // browsers complain of it without https
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
			http.Error(w, "forms are sent as application/x-www-form-urlencoded", http.StatusUnsupportedMediaType)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// errToken says that a form does not carry the token of this browser's session.
var errToken = fmt.Errorf("the form is too old or was not made here; go back, load the page again and repeat: %w", errdefs.ErrPermissionDenied)

func (v *visit) checkToken() error {
	if err := v.r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return fmt.Errorf("the form has more than %d bytes: %w", maxForm, errdefs.ErrResourceExhausted)
		}
		return fmt.Errorf("form: %w", errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	if subtle.ConstantTimeCompare([]byte(v.r.PostForm.Get("csrf")), []byte(v.token)) != 1 {
		return errToken
	}
	return nil
}

// anonymousToken ties the forms of who has not signed in to a random cookie. The
// token is derived, so that it is no use as a cookie.
func (v *visit) anonymousToken() {
	value := v.cookie(formCookie)
	if len(value) != 32 {
		value = strings.ToLower(rand.Text() + rand.Text())[:32]
		v.setCookie(formCookie, value, 0)
	}
	mac := hmac.New(sha256.New, []byte(value))
	mac.Write([]byte("form"))
	v.token = hex.EncodeToString(mac.Sum(nil))
}
