package token

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/go-jose/go-jose/v4"
)

// maxToken bounds what is decoded of a stranger's token.
const maxToken = 16 << 10

var errToken = fmt.Errorf("%w: the token is not one of this Hub, or it has expired", errdefs.ErrUnauthenticated)

// sign makes a token of claims.
func sign(kid string, key *ecdsa.PrivateKey, claims any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(body)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// verify checks a token's signature by the key that find knows under its kid,
// and only then decodes the claims.
func verify(token string, find func(kid string) (*ecdsa.PublicKey, error), claims any) error {
	if len(token) > maxToken {
		return errToken
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(signed.Signatures) != 1 || !plain(signed.Signatures[0].Protected) {
		return errToken
	}
	key, err := find(signed.Signatures[0].Protected.KeyID)
	if err != nil {
		return err
	}
	body, err := signed.Verify(key)
	if err != nil {
		return errToken
	}
	if err := exactly(body, claims); err != nil {
		return errors.Join(errToken, err)
	}
	return nil
}

// plain reports whether a token's header says no more than alg, kid and typ. A
// key, a certificate or an address of one in it would be the bearer's choice of
// who vouches for them (CVE-2025-24976): such a header is refused, not ignored.
func plain(h jose.Header) bool {
	_, err := h.Certificates(x509.VerifyOptions{Roots: x509.NewCertPool()})
	return errors.Is(err, jose.ErrMissingX5cHeader) && h.JSONWebKey == nil && h.Nonce == "" &&
		len(h.ExtraHeaders) == 1 && h.ExtraHeaders[jose.HeaderType] == "JWT"
}

// exactly decodes JSON that has no fields but those of v.
func exactly(data []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
