package policy

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// signer makes a key, and writes its public half to a file.
func signer(t *testing.T, file string) signature.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := signature.LoadSigner(private, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t *testing.T, s signature.Signer, payload string) Signature {
	t.Helper()
	raw, err := s.SignMessage(bytes.NewReader([]byte(payload)))
	if err != nil {
		t.Fatal(err)
	}
	return Signature{[]byte(payload), base64.StdEncoding.EncodeToString(raw)}
}

func payload(name string, d digest.Digest, kind string) string {
	return fmt.Sprintf(`{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":%q},"optional":null}`, name, d, kind)
}

func named(t *testing.T, s string) reference.Named {
	t.Helper()
	n, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		t.Fatal(err)
	}
	return reference.TagNameOnly(n)
}

// TestScopes: the longest scope that a name is in decides.
func TestScopes(t *testing.T) {
	rules := map[string]string{}
	for scope, kind := range map[string]string{
		"quay.io": accept, "quay.io/ns": reject, "quay.io/ns/repo": accept, "quay.io/ns/repo:bad": reject,
		"*.corp.example": accept, "docker.io/library": accept, "host:5000": accept,
	} {
		rules[scope] = fmt.Sprintf(`[{"type":%q}]`, kind)
	}
	raw := map[string]json.RawMessage{}
	for k, v := range rules {
		raw[k] = json.RawMessage(v)
	}
	scopes, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parse(fmt.Appendf(nil, `{"default":[{"type":"reject"}],"transports":{"docker":%s,"oci":{"":[{"type":"reject"}]}}}`, scopes), "/")
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"quay.io/other": true, "quay.io/ns/x": false, "quay.io/ns/repo": true, "quay.io/ns/repo:bad": false, "quay.io/nsx": true,
		"a.corp.example/x": true, "b.a.corp.example:5000/x/y": true, "corp.example/x": false, "busybox": true, "someone/x": false,
		"host:5000/a/b": true, "host/a": false, "quay.io.evil.example/x": false,
	} {
		if err := p.Refuses(named(t, name)); (err == nil) != ok || err != nil && !errdefs.IsPermissionDenied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (*Policy)(nil).Refuses(named(t, "x")); err != nil {
		t.Error(err)
	}
}

// TestParse: what is wrong or cannot be enforced is an error.
func TestParse(t *testing.T) {
	dir := t.TempDir()
	signer(t, filepath.Join(dir, "k.pub"))
	for text, want := range map[string]string{
		``:                                      "EOF",
		`{}`:                                    `"default" is missing`,
		`{"default":[]}`:                        "no rule",
		`{"default":[{"type":"reject"}]} x`:     "follows",
		`{"default":[{"type":"reject"}],"x":1}`: "unknown field",
		`{"default":[{"type":"rejct"}]}`:        "unknown type",
		`{"default":[{"type":"reject","keyPath":"a"}]}`:                                                                              "unknown field",
		`{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"a"}]}`:                                                        "GPG",
		`{"default":[{"type":"sigstoreSigned"}]}`:                                                                                    "exactly one",
		`{"default":[{"type":"sigstoreSigned","keyPath":"nosuch.pub"}]}`:                                                             "nosuch.pub",
		`{"default":[{"type":"sigstoreSigned","keyPaths":[]}]}`:                                                                      "no key",
		`{"default":[{"type":"sigstoreSigned","keyData":"QQ=="}]}`:                                                                   "key in the policy",
		`{"default":[{"type":"sigstoreSigned","keyPath":"k.pub","rekorPublicKeyPath":"r"}]}`:                                         "transparency logs",
		`{"default":[{"type":"sigstoreSigned","fulcio":{}}]}`:                                                                        "certificates",
		`{"default":[{"type":"sigstoreSigned","keyPath":"k.pub","keyPaths":["k.pub"]}]}`:                                             "exactly one",
		`{"default":[{"type":"sigstoreSigned","keyPath":"k.pub","signedIdentity":{"type":"remapIdentity"}}]}`:                        "not supported",
		`{"default":[{"type":"sigstoreSigned","keyPath":"k.pub","signedIdentity":{"type":"exactRepository"}}]}`:                      "do not fit",
		`{"default":[{"type":"sigstoreSigned","keyPath":"k.pub","signedIdentity":{"type":"exactReference","dockerReference":"a"}}]}`: "a reference has a tag",
		`{"default":[{"type":"reject"}],"transports":{"docker":{"a":[]}}}`:                                                           `docker "a": no rule`,
		`{"default":[{"type":"sigstoreSigned","keyPath":"k.pub","signedIdentity":{"type":"matchRepository"}}]}`:                      "",
	} {
		_, err := parse([]byte(text), dir)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.json")); err == nil {
		t.Error("a policy that is not there was read")
	}
}

// TestAdmit: only a good signature by an accepted key, of this image and for an
// accepted name, will do.
func TestAdmit(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := signer(t, filepath.Join(dir, "ours.pub")), signer(t, filepath.Join(dir, "theirs.pub"))
	d, other := digest.FromString("image"), digest.FromString("other")
	good := sign(t, ours, payload("quay.io/app", d, statementType))
	tampered := good
	tampered.Payload = []byte(payload("quay.io/app", other, statementType))
	exact := sign(t, ours, payload("quay.io/app:1", d, statementType))
	for _, c := range []struct {
		name, identity, ref string
		list                []Signature
		err                 string
	}{
		{"good", `{"type":"matchRepository"}`, "quay.io/app:1", []Signature{good}, ""},
		{"one of several", `{"type":"matchRepository"}`, "quay.io/app:1", []Signature{{}, tampered, sign(t, theirs, string(good.Payload)), good}, ""},
		{"none", `{"type":"matchRepository"}`, "quay.io/app:1", nil, "has no signature"},
		{"other key", `{"type":"matchRepository"}`, "quay.io/app:1", []Signature{sign(t, theirs, string(good.Payload))}, "accepted key"},
		{"tampered", `{"type":"matchRepository"}`, "quay.io/app:1", []Signature{tampered}, "accepted key"},
		{"no base64", `{"type":"matchRepository"}`, "quay.io/app:1", []Signature{{good.Payload, "*"}}, "base64"},
		{"other image", `{"type":"matchRepository"}`, "quay.io/app:1", []Signature{sign(t, ours, payload("quay.io/app", other, statementType))}, "for another image"},
		{"other statement", `{"type":"matchRepository"}`, "quay.io/app:1", []Signature{sign(t, ours, payload("quay.io/app", d, "attestation"))}, "of type"},
		{"no JSON", `{"type":"matchRepository"}`, "quay.io/app:1", []Signature{sign(t, ours, "x")}, "no JSON"},
		{"other repository", `{"type":"matchRepository"}`, "quay.io/apps:1", []Signature{good}, "for the name"},
		{"no tag in it", `{"type":"matchExact"}`, "quay.io/app:1", []Signature{good}, "for the name"},
		{"exact", `{"type":"matchExact"}`, "quay.io/app:1", []Signature{exact}, ""},
		{"exact, other tag", `{"type":"matchExact"}`, "quay.io/app:2", []Signature{exact}, "for the name"},
		{"by default", ``, "quay.io/app:1", []Signature{exact}, ""},
		{"by default, digest", ``, "quay.io/app@" + d.String(), []Signature{good}, ""},
		{"by default, no tag", ``, "quay.io/app:1", []Signature{good}, "matchRepository"},
		{"mirror", `{"type":"exactRepository","dockerRepository":"quay.io/app"}`, "mirror.example/app:1", []Signature{good}, ""},
		{"mirror, exact", `{"type":"exactReference","dockerReference":"quay.io/app:1"}`, "mirror.example/app:1", []Signature{exact}, ""},
		{"mirror, exact, other", `{"type":"exactReference","dockerReference":"quay.io/app:2"}`, "mirror.example/app:1", []Signature{exact}, "for the name"},
	} {
		identity := ""
		if c.identity != "" {
			identity = `,"signedIdentity":` + c.identity
		}
		p, err := parse([]byte(`{"default":[{"type":"sigstoreSigned","keyPath":"ours.pub"`+identity+`}]}`), dir)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Admit(t.Context(), named(t, c.ref), d, func(context.Context) ([]Signature, error) { return c.list, nil })
		if c.err == "" && err != nil || c.err != "" && (!errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}

	// All rules have to be met.
	p, err := parse([]byte(`{"default":[{"type":"sigstoreSigned","keyPath":"ours.pub","signedIdentity":{"type":"matchRepository"}},
		{"type":"sigstoreSigned","keyPath":"theirs.pub","signedIdentity":{"type":"matchRepository"}}]}`), dir)
	if err != nil {
		t.Fatal(err)
	}
	for n, list := range map[int][]Signature{1: {good}, 2: {good, sign(t, theirs, string(good.Payload))}} {
		err := p.Admit(t.Context(), named(t, "quay.io/app:1"), d, func(context.Context) ([]Signature, error) { return list, nil })
		if (err == nil) != (n == 2) {
			t.Errorf("%d of two signatures: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker":{"a":[{"type":"reject"}]}}}`))
	f.Add([]byte(`{"default":[{"type":"sigstoreSigned","keyData":"QQ==","signedIdentity":{"type":"exactReference","dockerReference":"a:b"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(data, "/nonexistent")
		if err != nil {
			return
		}
		if len(p.fallback) == 0 {
			t.Error("a policy without default accepts everything")
		}
	})
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"critical":{}}`), "AA==")
	dir := f.TempDir()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(private.Public())
	if err != nil {
		f.Fatal(err)
	}
	r := rule{kind: signed, name: identity{kind: matchRepository}}
	if err := r.add(dir, pem); err != nil {
		f.Fatal(err)
	}
	ref, _ := reference.ParseNormalizedNamed("quay.io/app:1")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		if _, err := r.check(ref, digest.FromString("image"), Signature{data, text}); err == nil {
			t.Errorf("accepted %q %q", data, text)
		}
	})
}
