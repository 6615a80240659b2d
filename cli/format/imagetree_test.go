package format

import (
	"bytes"
	"testing"

	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestImageTree: the lines are Docker's.
func TestImageTree(t *testing.T) {
	part := func(id, arch string, content, total int64, users ...string) image.ManifestSummary {
		m := image.ManifestSummary{ID: "sha256:" + id, Kind: image.ManifestKindImage, Available: true, ImageData: &image.ImageProperties{
			Platform: ocispec.Platform{OS: "linux", Architecture: arch}, Containers: users,
		}}
		m.Size.Content, m.Size.Total = content, total
		return m
	}
	attestation := image.ManifestSummary{Kind: image.ManifestKindAttestation}
	attestation.Size.Content = 1000
	var b bytes.Buffer
	err := ImageTree(&b, []image.Summary{
		{ID: "sha256:333333333333", Size: 12_300_000},
		{ID: "sha256:1111111111112222", RepoTags: []string{"app:v1", "app:latest"}, Size: 25_500_000, Manifests: []image.ManifestSummary{
			part("444444444444", "amd64", 10_000_000, 12_100_000, "c"), part("555555555555", "arm64", 10_200_000, 13_400_000), attestation,
		}},
	})
	want := `IMAGE            ID             DISK USAGE   CONTENT SIZE   EXTRA
app:latest    
app:v1           111111111111       25.5MB         20.2MB   U    
├─ linux/amd64   444444444444       12.1MB           10MB   U    
└─ linux/arm64   555555555555       13.4MB         10.2MB        

<untagged>       333333333333       12.3MB             0B        

`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
	b.Reset()
	err = ImageTree(&b, []image.Summary{{ID: "sha256:333333333333", RepoTags: []string{"a:1"}, Size: 5}})
	want = "IMAGE   ID             DISK USAGE   CONTENT SIZE   EXTRA\na:1     333333333333           5B             0B        \n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%q\nwant\n%q", err, b.String(), want)
	}
}
