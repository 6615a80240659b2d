package contents

import (
	"archive/tar"
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Entry is a line of a directory's listing. A directory's Size is that of all
// below.
type Entry struct {
	Name, Path, Link string
	Dir              bool
	Mode             string // as ls writes it
	UID, GID         int
	Size             int64
}

// Dir lists a directory, directories first; found is false when there is none.
func (h *Holding) Dir(dir string) (list []Entry, found bool) {
	prefix := dir + "/"
	if dir == "" {
		prefix, found = "", true
	}
	names := map[string]*Entry{}
	for i := range h.Files {
		f := &h.Files[i]
		if f.Path == dir && f.Type == tar.TypeDir {
			found = true
		}
		rest, below := strings.CutPrefix(f.Path, prefix)
		if !below || rest == "" {
			continue
		}
		found = true
		name, _, deeper := strings.Cut(rest, "/")
		e := names[name]
		if e == nil {
			// Layers may leave out directories above what they hold.
			e = &Entry{Name: name, Path: path.Join(dir, name), Dir: true, Mode: "drwxr-xr-x"}
			names[name] = e
		}
		if !deeper {
			e.Dir, e.Link, e.UID, e.GID, e.Mode = f.Type == tar.TypeDir, f.Link, f.UID, f.GID, mode(f)
		}
		e.Size += f.Size
	}
	for _, e := range names {
		list = append(list, *e)
	}
	slices.SortFunc(list, func(a, b Entry) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return list, found
}

func mode(f *File) string {
	m := fs.FileMode(f.Mode & 0o777)
	for bit, set := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if f.Mode&bit != 0 {
			m |= set
		}
	}
	switch f.Type {
	case tar.TypeDir:
		m |= fs.ModeDir
	case tar.TypeSymlink:
		m |= fs.ModeSymlink
	case tar.TypeChar:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case tar.TypeBlock:
		m |= fs.ModeDevice
	case tar.TypeFifo:
		m |= fs.ModeNamedPipe
	}
	return strings.ToLower(m.String())
}

// Setting is one setting of an image, as people read it.
type Setting struct{ Key, Value string }

// Settings lists what a configuration sets.
func Settings(c ocispec.ImageConfig) []Setting {
	var list []Setting
	for _, change := range CompareConfig(ocispec.ImageConfig{}, c) {
		list = append(list, Setting{change.Key, change.To})
	}
	return list
}
