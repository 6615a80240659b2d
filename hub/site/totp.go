package site

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"rsc.io/qr"
)

type securityBody struct {
	User            account.User
	Secret, Problem string
	QR              template.HTML
	Recovery        []string
}

func (v *visit) showSecurity(b securityBody) error {
	b.User = v.session.User
	return v.show("security", Page{Title: "Two-factor sign-in", Sub: "security", Body: b})
}

func (v *visit) security() error { return v.showSecurity(securityBody{}) }

func (v *visit) startTOTP() error {
	secret, uri, err := v.Accounts.StartTOTP(v.ctx(), v.by)
	if err != nil {
		return v.again(err, func(text string) error { return v.showSecurity(securityBody{Problem: text}) })
	}
	code, err := picture(uri)
	if err != nil {
		return err
	}
	return v.showSecurity(securityBody{Secret: secret, QR: code})
}

func (v *visit) confirmTOTP() error {
	recovery, err := v.Accounts.ConfirmTOTP(v.ctx(), v.by, v.r.PostFormValue("code"))
	if err != nil {
		return v.again(err, func(text string) error {
			return v.showSecurity(securityBody{Problem: text + " Set the authenticator up again."})
		})
	}
	v.session.User.TOTP = true
	return v.showSecurity(securityBody{Recovery: recovery})
}

func (v *visit) disableTOTP() error {
	if err := v.Accounts.DisableTOTP(v.ctx(), v.by, v.r.PostFormValue("password"), v.r.PostFormValue("code")); err != nil {
		return v.again(err, func(text string) error { return v.showSecurity(securityBody{Problem: text}) })
	}
	return v.done("/account/security", "Two-factor sign-in is off.")
}

// picture draws a QR code with the quiet zone that scanners want.
func picture(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("QR code: %w", err)
	}
	var path strings.Builder
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+4, y+4)
			}
		}
	}
	n := code.Size + 8
	// Only numbers made here are in it.
	return template.HTML(fmt.Sprintf( //nolint:gosec // see above
		`<svg viewBox="0 0 %d %d" width="200" height="200" role="img" aria-label="QR code for your authenticator" shape-rendering="crispEdges"><rect width="%d" height="%d" fill="#fff"/><path d="%s" fill="#000"/></svg>`,
		n, n, n, n, path.String())), nil
}
