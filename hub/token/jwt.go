package token

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/containerd/errdefs"
)

// size is how long each half of an ES256 signature is (RFC 7518, 3.4).
const size = 32

// maxToken bounds what is decoded of a stranger's token.
const maxToken = 16 << 10

// header is all that a token's header may say. A key, a certificate or an
// address of one in it would be the bearer's choice of who vouches for them
// (CVE-2025-24976): such a header is refused, not ignored.
type header struct {
	Algorithm string `json:"alg"`
	Key       string `json:"kid"`
	Type      string `json:"typ"`
}

var errToken = fmt.Errorf("%w: the token is not one of this Hub, or it has expired", errdefs.ErrUnauthenticated)

// sign makes a token of claims.
func sign(kid string, key *ecdsa.PrivateKey, claims any) (string, error) {
	head, err := json.Marshal(header{Algorithm: "ES256", Key: kid, Type: "JWT"})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// verify checks a token's signature by the key that find knows under its kid,
// and only then decodes the claims.
func verify(token string, find func(kid string) (*ecdsa.PublicKey, error), claims any) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxToken {
		return errToken
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return errToken
		}
	}
	var head header
	if err := exactly(raw[0], &head); err != nil || head.Algorithm != "ES256" || head.Type != "JWT" || len(raw[2]) != 2*size {
		return errToken
	}
	key, err := find(head.Key)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(raw[2][:size]), new(big.Int).SetBytes(raw[2][size:])
	if !ecdsa.Verify(key, sum[:], r, s) {
		return errToken
	}
	if err := exactly(raw[1], claims); err != nil {
		return errors.Join(errToken, err)
	}
	return nil
}

// exactly decodes JSON that has no fields but those of v.
func exactly(data []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
