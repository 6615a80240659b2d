package manifestlist

import (
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestAssemble: a list has the bytes that Docker's command gives it.
func TestAssemble(t *testing.T) {
	target, err := reference.ParseNormalizedNamed("registry.example/app:1")
	if err != nil {
		t.Fatal(err)
	}
	e := Entry{Ref: "registry.example/app:amd", Descriptor: ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Size: 7, Digest: digest.FromString("x"),
		Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"},
	}}
	mediaType, raw, err := assemble(target, []Entry{e})
	const want = `{
   "schemaVersion": 2,
   "mediaType": "application/vnd.oci.image.index.v1+json",
   "manifests": [
      {
         "mediaType": "application/vnd.oci.image.manifest.v1+json",
         "size": 7,
         "digest": "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
         "platform": {
            "architecture": "arm64",
            "os": "linux",
            "variant": "v8"
         }
      }
   ]
}`
	if err != nil || mediaType != ocispec.MediaTypeImageIndex || string(raw) != want {
		t.Errorf("%s %v\n%s", mediaType, err, raw)
	}
	e.Ref = "other.example/app:amd"
	if _, _, err := assemble(target, []Entry{e}); err == nil || !strings.Contains(err.Error(), "different registry") {
		t.Error(err)
	}
	e.Ref, e.Descriptor.Digest = "registry.example/app:amd", "sha256:../../x"
	if _, _, err := assemble(target, []Entry{e}); err == nil {
		t.Error("a digest that is none was taken")
	}
}

// TestBytes: what files of older versions have lost is put back, and what is not
// the manifest's is refused.
func TestBytes(t *testing.T) {
	pretty := "{\n   \"schemaVersion\": 2\n}"
	e := Entry{Ref: "r", Descriptor: ocispec.Descriptor{Digest: digest.FromString(pretty)}, SchemaV2Manifest: []byte(`{"schemaVersion":2}`)}
	if raw, err := e.bytes(); err != nil || string(raw) != pretty {
		t.Errorf("%q %v", raw, err)
	}
	e.Raw = []byte("{}")
	if _, err := e.bytes(); err == nil || !strings.Contains(err.Error(), "digest mismatch") {
		t.Error(err)
	}
}
