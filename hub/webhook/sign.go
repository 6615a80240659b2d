package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// SignatureHeader carries sha256= and the HMAC-SHA256 of the body in hex, as
// GitHub's, Gitea's and Forgejo's webhooks do, so that their receivers work.
const SignatureHeader = "X-Hub-Signature-256"

// Sign returns the value of SignatureHeader.
func Sign(secret string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

// Verify reports whether a signature is right, in time that tells nothing.
func Verify(secret string, body []byte, signature string) bool {
	return secret != "" && hmac.Equal([]byte(Sign(secret, body)), []byte(signature))
}
