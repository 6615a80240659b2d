package format

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/image"
)

// The formats of the images command.
const (
	ImageTable       = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}"
	ImageDigestTable = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}"
)

// ImageHeader titles the columns of images.
var ImageHeader = Header{
	"ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST",
	"CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS",
	"VirtualSize": "SIZE", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
}

// ImageRow is one name of an image.
type ImageRow struct {
	i                 image.Summary
	repo, tag, digest string
	trunc             bool
	now               time.Time
}

// Images makes a row for every name; digests asks for the digest of each, and
// for rows of images known by digest only.
func Images(list []image.Summary, trunc, digests bool, now time.Time) []ImageRow {
	var rows []ImageRow
	for _, i := range list {
		for _, n := range imageNames(i, digests) {
			rows = append(rows, ImageRow{i, n[0], n[1], n[2], trunc, now})
		}
	}
	return rows
}

// imageNames is repository, tag and digest of every row of an image.
func imageNames(i image.Summary, digests bool) (names [][3]string) {
	byRepo := map[string][]string{}
	var repos []string
	for _, s := range i.RepoDigests {
		if ref, err := reference.ParseNormalizedNamed(s); err == nil {
			if d, ok := ref.(reference.Digested); ok {
				repo := reference.FamiliarName(ref)
				if byRepo[repo] == nil {
					repos = append(repos, repo)
				}
				byRepo[repo] = append(byRepo[repo], d.Digest().String())
			}
		}
	}
	var tagged []string
	for _, s := range i.RepoTags {
		ref, err := reference.ParseNormalizedNamed(s)
		if err != nil {
			continue
		}
		t, ok := ref.(reference.Tagged)
		if !ok {
			continue
		}
		repo := reference.FamiliarName(ref)
		tagged = append(tagged, repo)
		ds := byRepo[repo]
		if !digests || len(ds) == 0 {
			ds = []string{"<none>"}
		}
		for _, d := range ds {
			names = append(names, [3]string{repo, t.Tag(), d})
		}
	}
	for _, repo := range repos {
		if slices.Contains(tagged, repo) {
			continue
		}
		ds := []string{""}
		if digests {
			ds = byRepo[repo]
		}
		for _, d := range ds {
			names = append(names, [3]string{repo, "<none>", d})
		}
	}
	if len(names) == 0 {
		names = append(names, [3]string{"<none>", "<none>", "<none>"})
	}
	return names
}

// MarshalJSON gives all fields.
func (r ImageRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// ID is the image's ID, short when rows are truncated.
func (r ImageRow) ID() string {
	if r.trunc {
		return ShortID(r.i.ID)
	}
	return r.i.ID
}

// Repository is the name without tag.
func (r ImageRow) Repository() string { return r.repo }

// Tag is the tag, or <none>.
func (r ImageRow) Tag() string { return r.tag }

// Digest is the digest in the repository, or <none>.
func (r ImageRow) Digest() string { return r.digest }

// CreatedSince is the age in words; empty when the image does not tell.
func (r ImageRow) CreatedSince() string {
	if r.i.Created <= 0 {
		return ""
	}
	return ago(r.now, r.i.Created)
}

// CreatedAt is the time of creation.
func (r ImageRow) CreatedAt() string { return time.Unix(r.i.Created, 0).String() }

// Size is the size on disk.
func (r ImageRow) Size() string { return size(r.i.Size) }

// VirtualSize is the size on disk, by its old name.
func (r ImageRow) VirtualSize() string { return units.HumanSize(float64(r.i.Size)) }

// Containers counts the containers of the image, where the daemon did.
func (r ImageRow) Containers() string {
	if r.i.Containers == -1 {
		return "N/A"
	}
	return strconv.FormatInt(r.i.Containers, 10)
}

// SharedSize is what other images use too, where the daemon told it.
func (r ImageRow) SharedSize() string {
	if r.i.SharedSize == -1 {
		return "N/A"
	}
	return units.HumanSize(float64(r.i.SharedSize))
}

// UniqueSize is what no other image uses.
func (r ImageRow) UniqueSize() string {
	if r.i.Size == -1 || r.i.SharedSize == -1 {
		return "N/A"
	}
	return units.HumanSize(float64(r.i.Size - r.i.SharedSize))
}
