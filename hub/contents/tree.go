package contents

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Holding is what an image holds once its layers are joined.
type Holding struct {
	Files    []File    // ordered by path
	Packages []Package // ordered by name
	Size     int64     // bytes of all regular files
}

// Holding reads the image's layers and joins them. It fails with ErrReading when
// the context ends before all are read.
func (r *Reader) Holding(ctx context.Context, repo string, image Image) (*Holding, error) {
	repository, err := r.repository(ctx, repo)
	if err != nil {
		return nil, err
	}
	select {
	case r.join <- struct{}{}:
		defer func() { <-r.join }()
	case <-ctx.Done():
		return nil, errors.Join(ErrReading, ctx.Err())
	}
	root := &node{}
	packages := map[string][]Package{}
	for _, layer := range image.Layers {
		l, err := r.layer(ctx, repository, layer.Digest)
		if err != nil {
			return nil, err
		}
		if !root.join(l, r.limits.Entries) {
			return nil, fmt.Errorf("image holds more than %d files: %w", r.limits.Entries, errdefs.ErrResourceExhausted)
		}
		maps.Copy(packages, l.Packages)
	}
	h := &Holding{}
	root.walk(func(f File) {
		h.Files = append(h.Files, f)
		if f.Type == tar.TypeReg {
			h.Size += f.Size
		}
	})
	slices.SortFunc(h.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	for path, list := range packages {
		if at := root.find(path); at != nil && at.file.Type == tar.TypeReg { // a later layer may have removed it
			h.Packages = append(h.Packages, list...)
		}
	}
	slices.SortFunc(h.Packages, comparePackages)
	return h, nil
}

// node is a file, or a directory with what is below; only the root has count.
type node struct {
	file  File // the zero Type for directories that no layer has an entry of
	below map[string]*node
	count int
}

// join puts a layer above what is there. It gives up, and says so, once there are
// more than limit nodes: a long path of an archive makes many.
func (root *node) join(l *listing, limit int) bool {
	// Whiteouts are of what is below, wherever they stand in the archive.
	for _, path := range l.Removed {
		root.remove(path)
	}
	for _, path := range l.Opaque {
		if at := root.find(path); at != nil {
			root.count -= at.size() - 1
			at.below = nil
		}
	}
	for _, f := range l.Files {
		if root.put(f); root.count > limit {
			return false
		}
	}
	for _, h := range l.Hard {
		if target := root.find(h.Target); target != nil && target.file.Type != 0 && target.file.Type != tar.TypeDir {
			f := target.file
			f.Path = h.Path
			if root.put(f); root.count > limit {
				return false
			}
		}
	}
	return true
}

func (root *node) put(f File) {
	at := root
	for name := range strings.SplitSeq(f.Path, "/") {
		if at.below == nil {
			at.below = map[string]*node{}
		}
		next := at.below[name]
		if next == nil {
			next = &node{}
			at.below[name] = next
			root.count++
		}
		at = next
	}
	if f.Type != tar.TypeDir && at.below != nil {
		root.count -= at.size() - 1
		at.below = nil
	}
	at.file = f
}

func (root *node) find(path string) *node {
	at := root
	if path == "" {
		return root
	}
	for name := range strings.SplitSeq(path, "/") {
		if at = at.below[name]; at == nil {
			return nil
		}
	}
	return at
}

func (root *node) remove(path string) {
	parent, base := root, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, base = root.find(path[:i]), path[i+1:]
	}
	if parent == nil || parent.below[base] == nil {
		return
	}
	root.count -= parent.below[base].size()
	delete(parent.below, base)
}

// size counts a node with all below.
func (root *node) size() int {
	total := 1
	for _, b := range root.below {
		total += b.size()
	}
	return total
}

func (root *node) walk(do func(File)) {
	if root.file.Type != 0 {
		do(root.file)
	}
	for _, b := range root.below {
		b.walk(do)
	}
}
