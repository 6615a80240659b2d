package policy

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/distribution/reference"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// maxKey bounds a file with a public key.
const maxKey = 64 << 10

// key is a public key.
type key struct {
	from string // file, or what else to call it
	signature.Verifier
}

// identity is which name a signature must be for; see accepts.
type identity struct {
	kind string
	ref  reference.Named // of exactReference and exactRepository
}

type signedDocument struct {
	Type           string           `json:"type"`
	KeyPath        string           `json:"keyPath"`
	KeyPaths       []string         `json:"keyPaths"`
	KeyData        []byte           `json:"keyData"`
	KeyDatas       [][]byte         `json:"keyDatas"`
	SignedIdentity json.RawMessage  `json:"signedIdentity"`
	Fulcio         *json.RawMessage `json:"fulcio"`
	PKI            *json.RawMessage `json:"pki"`
	Rekor          *json.RawMessage `json:"rekorPublicKeyPath"`
	RekorData      *json.RawMessage `json:"rekorPublicKeyData"`
	Rekors         *json.RawMessage `json:"rekorPublicKeyPaths"`
	RekorDatas     *json.RawMessage `json:"rekorPublicKeyDatas"`
}

func parseSigned(raw json.RawMessage, dir string) (rule, error) {
	var d signedDocument
	if err := strict(raw, &d); err != nil {
		return rule{}, err
	}
	if d.Fulcio != nil || d.PKI != nil || d.Rekor != nil || d.RekorData != nil || d.Rekors != nil || d.RekorDatas != nil {
		return rule{}, errors.New("sigstoreSigned: only keys are supported (keyPath, keyPaths, keyData, keyDatas), not certificates and transparency logs")
	}
	sources := 0
	for _, given := range []bool{d.KeyPath != "", d.KeyPaths != nil, d.KeyData != nil, d.KeyDatas != nil} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return rule{}, errors.New("sigstoreSigned: exactly one of keyPath, keyPaths, keyData and keyDatas must be given")
	}
	r := rule{kind: signed}
	paths, datas := d.KeyPaths, d.KeyDatas
	if d.KeyPath != "" {
		paths = []string{d.KeyPath}
	}
	if d.KeyData != nil {
		datas = [][]byte{d.KeyData}
	}
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return rule{}, err
		}
		if err := r.add(path, data); err != nil {
			return rule{}, err
		}
	}
	for _, data := range datas {
		if err := r.add("in the policy", data); err != nil {
			return rule{}, err
		}
	}
	if len(r.keys) == 0 {
		return rule{}, errors.New("sigstoreSigned: no key")
	}
	var err error
	r.name, err = parseIdentity(d.SignedIdentity)
	return r, err
}

func (r *rule) add(from string, pem []byte) error {
	if len(pem) > maxKey {
		return fmt.Errorf("key %s has %d bytes, more than %d", from, len(pem), maxKey)
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return fmt.Errorf("key %s: %w", from, err)
	}
	verifier, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return fmt.Errorf("key %s: %w", from, err)
	}
	r.keys = append(r.keys, key{from, verifier})
	return nil
}

func parseIdentity(raw json.RawMessage) (identity, error) {
	if raw == nil {
		return identity{kind: matchRepoDigestOrExact}, nil
	}
	var d struct {
		Type       string `json:"type"`
		Reference  string `json:"dockerReference"`
		Repository string `json:"dockerRepository"`
	}
	if err := strict(raw, &d); err != nil {
		return identity{}, fmt.Errorf("signedIdentity: %w", err)
	}
	text, want := "", ""
	switch d.Type {
	case matchExact, matchRepoDigestOrExact, matchRepository:
	case exactReference:
		text, want = d.Reference, "dockerReference"
	case exactRepository:
		text, want = d.Repository, "dockerRepository"
	default:
		return identity{}, fmt.Errorf("signedIdentity: type %q is not supported", d.Type)
	}
	if (d.Reference != "") != (want == "dockerReference") || (d.Repository != "") != (want == "dockerRepository") {
		return identity{}, fmt.Errorf("signedIdentity: %s: the fields do not fit the type", d.Type)
	}
	if want == "" {
		return identity{kind: d.Type}, nil
	}
	ref, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return identity{}, fmt.Errorf("signedIdentity: %s: %w", want, err)
	}
	if reference.IsNameOnly(ref) != (d.Type == exactRepository) {
		return identity{}, fmt.Errorf("signedIdentity: %s: %q: a reference has a tag or digest, a repository has none", want, text)
	}
	return identity{d.Type, ref}, nil
}

// Kinds of identity.
const (
	matchExact             = "matchExact"
	matchRepoDigestOrExact = "matchRepoDigestOrExact"
	matchRepository        = "matchRepository"
	exactReference         = "exactReference"
	exactRepository        = "exactRepository"
)

// accepts tells whether a signature for one name will do for an image that is
// asked for by another. cosign signs for a repository, without tag.
func (i identity) accepts(asked reference.Named, in string) bool {
	claimed, err := reference.ParseNormalizedNamed(in)
	if err != nil {
		return false
	}
	_, byDigest := asked.(reference.Digested)
	switch i.kind {
	case matchExact:
		return !byDigest && !reference.IsNameOnly(claimed) && claimed.String() == asked.String()
	case matchRepoDigestOrExact:
		if byDigest {
			return claimed.Name() == asked.Name()
		}
		return !reference.IsNameOnly(claimed) && claimed.String() == asked.String()
	case matchRepository:
		return claimed.Name() == asked.Name()
	case exactReference:
		return claimed.String() == i.ref.String()
	case exactRepository:
		return claimed.Name() == i.ref.Name()
	}
	return false
}
