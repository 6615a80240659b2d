package contents

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Difference is what changes on the way from one image to another.
type Difference struct {
	Layers   []LayerChange
	Files    []FileChange
	Packages []PackageChange
	Config   []ConfigChange
}

// LayerChange is a layer with where it is found: Kept, Removed or Added.
type LayerChange struct {
	Layer
	Change Change
}

// FileChange is a path that one image alone has, or whose file differs; What
// says in what.
type FileChange struct {
	Path   string
	Change Change
	What   string // such as "content, mode 0644 → 0755"
	Delta  int64  // bytes
}

// PackageChange is a package of which versions came or went. From and To are
// empty where there is none.
type PackageChange struct {
	Name, Manager, From, To string
}

// ConfigChange is a setting with its values before and after.
type ConfigChange struct{ Key, From, To string }

// Change says what became of something.
type Change string

// The changes.
const (
	Kept    Change = "kept"
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
)

// Compare tells what differs between two images whose contents were read.
func Compare(from, to Image, before, after *Holding) Difference {
	return Difference{
		Layers:   CompareLayers(from.Layers, to.Layers),
		Config:   CompareConfig(from.Config, to.Config),
		Files:    compareFiles(before.Files, after.Files),
		Packages: compareLists(before.Packages, after.Packages),
	}
}

// CompareLayers lists the layers that both begin with, then what is only in the
// first, then what is only in the second: a layer depends on those below.
func CompareLayers(from, to []Layer) []LayerChange {
	same := 0
	for same < min(len(from), len(to)) && from[same].Digest == to[same].Digest {
		same++
	}
	var list []LayerChange
	for i, l := range from {
		change := Removed
		if i < same {
			change = Kept
		}
		list = append(list, LayerChange{l, change})
	}
	for _, l := range to[same:] {
		list = append(list, LayerChange{l, Added})
	}
	return list
}

// merge calls do for each key of two ordered lists, with what each has there.
func merge[T any](a, b []T, order func(T, T) int, do func(a, b *T)) {
	for len(a) > 0 || len(b) > 0 {
		var c int
		switch {
		case len(a) == 0:
			c = 1
		case len(b) == 0:
			c = -1
		default:
			c = order(a[0], b[0])
		}
		switch {
		case c < 0:
			do(&a[0], nil)
			a = a[1:]
		case c > 0:
			do(nil, &b[0])
			b = b[1:]
		default:
			do(&a[0], &b[0])
			a, b = a[1:], b[1:]
		}
	}
}

func compareFiles(from, to []File) []FileChange {
	var list []FileChange
	merge(from, to, func(a, b File) int { return cmp.Compare(a.Path, b.Path) }, func(a, b *File) {
		switch {
		case b == nil:
			list = append(list, FileChange{Path: a.Path, Change: Removed, What: kind(a.Type), Delta: -a.Size})
		case a == nil:
			list = append(list, FileChange{Path: b.Path, Change: Added, What: kind(b.Type), Delta: b.Size})
		default:
			if what := differ(a, b); what != "" {
				list = append(list, FileChange{Path: a.Path, Change: Changed, What: what, Delta: b.Size - a.Size})
			}
		}
	})
	return list
}

func differ(a, b *File) string {
	if a.Type != b.Type {
		return kind(a.Type) + " → " + kind(b.Type)
	}
	var what []string
	if a.Sum != b.Sum || a.Size != b.Size {
		what = append(what, "content")
	}
	if a.Link != b.Link {
		what = append(what, fmt.Sprintf("target %s → %s", a.Link, b.Link))
	}
	if a.Mode != b.Mode {
		what = append(what, fmt.Sprintf("mode %04o → %04o", a.Mode, b.Mode))
	}
	if a.UID != b.UID || a.GID != b.GID {
		what = append(what, fmt.Sprintf("owner %d:%d → %d:%d", a.UID, a.GID, b.UID, b.GID))
	}
	return strings.Join(what, ", ")
}

func kind(t byte) string {
	switch t {
	case '5':
		return "directory"
	case '2':
		return "symbolic link"
	case '3', '4':
		return "device"
	case '6':
		return "pipe"
	}
	return "file"
}

// compareLists pairs packages by name and manager. Several versions of one, or
// several architectures, are one entry with all of them.
func compareLists(from, to []Package) []PackageChange {
	var list []PackageChange
	merge(versions(from), versions(to), func(a, b PackageChange) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Manager, b.Manager))
	}, func(a, b *PackageChange) {
		switch {
		case b == nil:
			list = append(list, PackageChange{a.Name, a.Manager, a.From, ""})
		case a == nil:
			list = append(list, PackageChange{b.Name, b.Manager, "", b.From})
		case a.From != b.From:
			list = append(list, PackageChange{a.Name, a.Manager, a.From, b.From})
		}
	})
	return list
}

func versions(list []Package) []PackageChange {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.Version, b.Version))
	})
	var out []PackageChange
	for _, p := range list {
		last := len(out) - 1
		switch {
		case last < 0 || out[last].Name != p.Name || out[last].Manager != p.Manager:
			out = append(out, PackageChange{Name: p.Name, Manager: p.Manager, From: p.Version})
		case !slices.Contains(strings.Split(out[last].From, ", "), p.Version):
			out[last].From += ", " + p.Version
		}
	}
	return out
}

// CompareConfig lists the settings that differ.
func CompareConfig(from, to ocispec.ImageConfig) []ConfigChange {
	var list []ConfigChange
	add := func(key, a, b string) {
		if a != b {
			list = append(list, ConfigChange{key, a, b})
		}
	}
	add("User", from.User, to.User)
	add("Working directory", from.WorkingDir, to.WorkingDir)
	add("Entrypoint", words(from.Entrypoint), words(to.Entrypoint))
	add("Command", words(from.Cmd), words(to.Cmd))
	add("Stop signal", from.StopSignal, to.StopSignal)
	add("Ports", keys(from.ExposedPorts), keys(to.ExposedPorts))
	add("Volumes", keys(from.Volumes), keys(to.Volumes))
	a, b := pairs(from.Env), pairs(to.Env)
	for _, k := range union(a, b) {
		add("ENV "+k, a[k], b[k])
	}
	for _, k := range union(from.Labels, to.Labels) {
		add("LABEL "+k, from.Labels[k], to.Labels[k])
	}
	return list
}
