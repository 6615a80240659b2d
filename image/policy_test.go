package image

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/berth-engine/berth/oci"
)

func newSigner(t *testing.T, file string) signature.Signer {
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

// cosign signs an image at a registry as `cosign sign --key` does; spoil may
// change what is sent.
func cosign(t *testing.T, url, repository string, target digest.Digest, s signature.Signer, spoil func([]byte) []byte) {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`,
		strings.TrimPrefix(url, "http://")+"/"+repository, target)
	raw, err := s.SignMessage(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	if spoil != nil {
		payload = spoil(payload)
	}
	layer := oci.NewBlob("application/vnd.dev.cosign.simplesigning.v1+json", payload)
	config := oci.NewBlob(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`))
	desc := layer.Descriptor
	desc.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(raw)}
	manifest := oci.NewBlob(ocispec.MediaTypeImageManifest, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`,
		ocispec.MediaTypeImageManifest, toJSON(t, config.Descriptor), toJSON(t, desc)))
	err = oci.Remote{Registry: url, Repository: repository}.Push(t.Context(),
		oci.Image{Blobs: []oci.Blob{layer, config}, Manifests: []oci.Blob{manifest}}, "sha256-"+target.Encoded()+".sig")
	if err != nil {
		t.Fatal(err)
	}
}

// TestSignaturePolicy: of a hub's images only those come that the policy allows; of
// the others nothing is stored.
func TestSignaturePolicy(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := newSigner(t, filepath.Join(dir, "ours.pub")), newSigner(t, filepath.Join(dir, "theirs.pub"))
	hub := newDistribution(t, nil)
	host := strings.TrimPrefix(hub.URL, "http://")
	push := func(repository string) digest.Digest {
		img := twoLayers(t, repository)
		if err := (oci.Remote{Registry: hub.URL, Repository: repository}).Push(t.Context(), img, "1"); err != nil {
			t.Fatal(err)
		}
		return img.Root().Descriptor.Digest
	}
	cosign(t, hub.URL, "team/good", push("team/good"), ours, nil)
	cosign(t, hub.URL, "team/wrong-key", push("team/wrong-key"), theirs, nil)
	cosign(t, hub.URL, "team/tampered", push("team/tampered"), ours, func(p []byte) []byte {
		return bytes.Replace(p, []byte(`"optional":null`), []byte(`"optional":{"by":"me"}`), 1)
	})
	push("team/unsigned")
	push("team/rejected")
	push("free/any")
	// The signature of another image, moved to this one's tag.
	moved := push("team/moved")
	cosign(t, hub.URL, "team/moved", moved, ours, func(p []byte) []byte {
		return bytes.ReplaceAll(p, []byte(moved.String()), []byte(digest.FromString("another").String()))
	})

	file := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"default":[{"type":"reject"}],"transports":{"docker":{
		"%[1]s/team":[{"type":"sigstoreSigned","keyPath":"ours.pub","signedIdentity":{"type":"matchRepository"}}],
		"%[1]s/team/rejected":[{"type":"reject"}],
		"%[1]s/free":[{"type":"insecureAcceptAnything"}]}}}`, host), 0o644); err != nil {
		t.Fatal(err)
	}
	rules, err := LoadPolicy(file)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := openStore(t, t.TempDir())
	s.SetPolicy(rules)
	for name, want := range map[string]string{
		"team/wrong-key": "by an accepted key", "team/tampered": "by an accepted key", "team/moved": "by an accepted key",
		"team/unsigned": "has no signature", "team/rejected": "images by that name are rejected", "elsewhere/x": "images by that name are rejected",
	} {
		err := s.Pull(t.Context(), host+"/"+name+":1", PullOptions{})
		if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the signature policy does not allow "+host+"/"+name+":1") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		wantEmpty(t, s)
	}
	mustPull(t, s, host+"/team/good:1")
	mustPull(t, s, host+"/free/any:1")

	// A registry that cannot be asked for signatures is not taken for one without.
	s.SetPolicy(nil)
	mustPull(t, s, host+"/team/unsigned:1")
	img, err := s.Resolve(t.Context(), host+"/team/unsigned:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.SetPolicy(rules)
	named, err := oci.ParseName(host + "/team/unsigned:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Admit(t.Context(), named, img.ID, nil); err != nil {
		t.Errorf("an image that is here: %v", err)
	}
	hub.Close()
	if err := s.Admit(t.Context(), named, digest.FromString("another"), nil); err == nil || errdefs.IsPermissionDenied(err) {
		t.Errorf("a registry that is away: %v", err)
	}
}
