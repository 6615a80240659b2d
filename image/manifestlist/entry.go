package manifestlist

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Entry is a manifest in a list, as it is kept and as `inspect --verbose` shows it.
type Entry struct {
	Ref        string
	Descriptor ocispec.Descriptor
	Raw        []byte `json:",omitempty"`

	SchemaV2Manifest json.RawMessage `json:",omitempty"` // one of these two is Raw
	OCIManifest      json.RawMessage `json:",omitempty"`
}

func newEntry(ref reference.Named, desc ocispec.Descriptor, raw []byte) (Entry, error) {
	e := Entry{Ref: ref.String(), Descriptor: desc, Raw: raw}
	switch {
	case !json.Valid(raw):
		return e, fmt.Errorf("%s: the manifest is no JSON", ref)
	case images.IsIndexType(desc.MediaType):
		return e, fmt.Errorf("%s is a manifest list", ref)
	case desc.MediaType == images.MediaTypeDockerSchema2Manifest:
		e.SchemaV2Manifest = raw
	case desc.MediaType == ocispec.MediaTypeImageManifest:
		e.OCIManifest = raw
	default:
		return e, fmt.Errorf("%s is not a manifest, but a %s", ref, desc.MediaType)
	}
	return e, nil
}

// bytes are the manifest's, which older files have without its white space.
func (e *Entry) bytes() ([]byte, error) {
	raw := e.Raw
	if len(raw) == 0 {
		form, indent := e.SchemaV2Manifest, "   "
		if form == nil {
			form, indent = e.OCIManifest, "  "
		}
		var b bytes.Buffer
		if err := json.Indent(&b, form, "", indent); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Ref, err)
		}
		raw = b.Bytes()
	}
	if got := digest.FromBytes(raw); got != e.Descriptor.Digest {
		return nil, fmt.Errorf("internal digest mismatch for %s: expected %s, got %s", e.Ref, e.Descriptor.Digest, got)
	}
	return raw, nil
}

// The forms of a list as Docker's command writes it: the order of members and the
// white space are part of its digest.
type (
	list struct {
		SchemaVersion int        `json:"schemaVersion"`
		MediaType     string     `json:"mediaType"`
		Manifests     []listItem `json:"manifests"`
	}
	listItem struct {
		MediaType string        `json:"mediaType,omitempty"`
		Size      int64         `json:"size,omitempty"`
		Digest    digest.Digest `json:"digest,omitempty"`
		Platform  listPlatform  `json:"platform"`
	}
	listPlatform struct {
		Architecture string   `json:"architecture"`
		OS           string   `json:"os"`
		OSVersion    string   `json:"os.version,omitempty"`
		OSFeatures   []string `json:"os.features,omitempty"`
		Variant      string   `json:"variant,omitempty"`
	}
)

// assemble makes the list of entries, which must be of the target's registry.
func assemble(target reference.Named, entries []Entry) (mediaType string, raw []byte, err error) {
	l := list{SchemaVersion: 2, MediaType: images.MediaTypeDockerSchema2ManifestList}
	for i, e := range entries {
		from, err := reference.ParseNormalizedNamed(e.Ref)
		if err != nil {
			return "", nil, err
		}
		if a, b := reference.Domain(from), reference.Domain(target); a != b {
			return "", nil, fmt.Errorf("cannot use source images from a different registry than the target image: %s != %s", a, b)
		}
		if err := e.Descriptor.Digest.Validate(); err != nil {
			return "", nil, fmt.Errorf("digest parse of image %q failed: %w", e.Ref, err)
		}
		if i == 0 && e.Descriptor.MediaType == ocispec.MediaTypeImageManifest {
			l.MediaType = ocispec.MediaTypeImageIndex
		}
		item := listItem{MediaType: e.Descriptor.MediaType, Size: e.Descriptor.Size, Digest: e.Descriptor.Digest}
		if p := e.Descriptor.Platform; p != nil {
			item.Platform = listPlatform{Architecture: p.Architecture, OS: p.OS, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures, Variant: p.Variant}
		}
		l.Manifests = append(l.Manifests, item)
	}
	raw, err = json.MarshalIndent(l, "", "   ")
	return l.MediaType, raw, err
}
