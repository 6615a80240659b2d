package format

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// untagged stands for an image without a name in a tree.
const untagged = "<untagged>"

// treeLine is a line of a tree: a name alone, an image, or one platform of it.
type treeLine struct {
	name                string
	id, usage, contents string // "": a name alone
	used                bool
}

// ImageTree prints images with what they have for each platform below them, in
// Docker's form: ordered by name, those without one last.
func ImageTree(w io.Writer, list []image.Summary) error {
	list = slices.Clone(list)
	for i := range list {
		list[i].RepoTags = slices.Sorted(slices.Values(list[i].RepoTags))
	}
	slices.SortStableFunc(list, func(a, b image.Summary) int {
		if len(a.RepoTags) == 0 || len(b.RepoTags) == 0 {
			return len(b.RepoTags) - len(a.RepoTags)
		}
		return strings.Compare(a.RepoTags[0], b.RepoTags[0])
	})
	var blocks [][]treeLine
	spaced, width, used := false, len("IMAGE"), false
	for _, i := range list {
		block := imageBlock(i)
		last := len(block) - 1
		spaced = spaced || block[last].id != "" && strings.HasPrefix(block[last].name, "└─ ")
		for _, l := range block {
			width = max(width, utf8.RuneCountInString(l.name))
			used = used || l.used
		}
		blocks = append(blocks, block)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s   %-12s   %10s   %12s   EXTRA\n", width, "IMAGE", "ID", "DISK USAGE", "CONTENT SIZE")
	for _, block := range blocks {
		for _, l := range block {
			b.WriteString(l.text(width, used) + "\n")
		}
		if spaced {
			b.WriteString("\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func imageBlock(i image.Summary) []treeLine {
	names := i.RepoTags
	if len(names) == 0 {
		names = []string{untagged}
	}
	var lines []treeLine
	for _, n := range names {
		lines = append(lines, treeLine{name: n})
	}
	top := &lines[len(lines)-1]
	top.id, top.usage, top.used = ShortID(i.ID), treeSize(i.Size), i.Containers > 0
	var content int64
	var children []treeLine
	for _, m := range i.Manifests {
		content += m.Size.Content
		if m.Kind != image.ManifestKindImage || m.ImageData == nil {
			continue
		}
		inUse := len(m.ImageData.Containers) > 0
		top.used = top.used || inUse
		children = append(children, treeLine{
			"├─ " + platformText(m.ImageData.Platform), ShortID(m.ID), treeSize(m.Size.Total), treeSize(m.Size.Content), inUse,
		})
	}
	if n := len(children); n > 0 {
		children[n-1].name = "└─" + strings.TrimPrefix(children[n-1].name, "├─")
	}
	top.contents = treeSize(content)
	return append(lines, children...)
}

// text pads as Docker does: a mark of use has a column if any image is used.
func (l *treeLine) text(width int, used bool) string {
	name := l.name + strings.Repeat(" ", width-utf8.RuneCountInString(l.name))
	if l.id == "" {
		return name
	}
	mark := ""
	switch {
	case l.used:
		mark = "U"
	case used:
		mark = " "
	}
	return fmt.Sprintf("%s   %-12s   %10s   %12s   %-5s", name, l.id, l.usage, l.contents, mark)
}

func treeSize(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

func platformText(p ocispec.Platform) string {
	text := p.OS + "/" + p.Architecture
	if p.OS == "" {
		return "unknown"
	}
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return text
}
