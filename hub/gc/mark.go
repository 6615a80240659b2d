package gc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// Distribution's layout of the storage (registry/storage/paths.go).
const (
	repositoriesRoot = "/docker/registry/v2/repositories"
	blobsRoot        = "/docker/registry/v2/blobs"
)

// link is a layer link of a repository that none of its manifests wants.
type link struct {
	path   string // of the folder that holds it
	target digest.Digest
}

// marks is what a walk over all repositories found.
type marks struct {
	// wanted are the blobs that a link remains to.
	wanted map[digest.Digest]struct{}
	links  []link
	// spared are repositories with a manifest that cannot be read, whose links
	// all stay.
	spared []string
}

// list is a folder's children; a folder that is not there (any more) has none.
func list(ctx context.Context, d driver.StorageDriver, dir string) ([]string, error) {
	children, err := d.List(ctx, dir)
	if gone(err) {
		return nil, nil
	}
	return children, err
}

func gone(err error) bool {
	var missing driver.PathNotFoundError
	return errors.As(err, &missing)
}

// mark walks the repositories below dir.
func (m *marks) mark(ctx context.Context, d driver.StorageDriver, dir string) error {
	children, err := list(ctx, d, dir)
	if err != nil {
		return err
	}
	repository := false
	for _, child := range children {
		if strings.HasPrefix(path.Base(child), "_") {
			repository = true
			continue
		}
		if err := m.mark(ctx, d, child); err != nil {
			return err
		}
	}
	if repository {
		return m.repository(ctx, d, dir)
	}
	return nil
}

func (m *marks) repository(ctx context.Context, d driver.StorageDriver, dir string) error {
	// Layers first: a manifest that arrives between the two readings touched
	// what it wants.
	layers, err := links(ctx, d, path.Join(dir, "_layers"))
	if err != nil {
		return err
	}
	revisions, err := links(ctx, d, path.Join(dir, "_manifests", "revisions"))
	if err != nil {
		return err
	}
	wants := map[digest.Digest]struct{}{}
	readable := true
	for _, r := range revisions {
		m.wanted[r.target] = struct{}{}
		body, err := d.GetContent(ctx, blobPath(r.target)+"/data")
		if err != nil && !gone(err) {
			return err
		}
		readable = readable && json.Valid(body)
		for _, b := range References(body) {
			wants[b] = struct{}{}
		}
	}
	if !readable {
		m.spared = append(m.spared, strings.TrimPrefix(dir, repositoriesRoot+"/"))
	}
	for _, l := range layers {
		_, byTarget := wants[l.target]
		_, byName := wants[named(l.path)]
		if byTarget || byName || !readable {
			m.wanted[l.target] = struct{}{}
			continue
		}
		m.links = append(m.links, l)
	}
	return nil
}

// links reads dir/ALGORITHM/HEX/link.
func links(ctx context.Context, d driver.StorageDriver, dir string) ([]link, error) {
	algorithms, err := list(ctx, d, dir)
	if err != nil {
		return nil, err
	}
	var all []link
	for _, a := range algorithms {
		entries, err := list(ctx, d, a)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			content, err := d.GetContent(ctx, path.Join(e, "link"))
			if gone(err) {
				continue // being made, or removed
			}
			if err != nil {
				return nil, err
			}
			target, err := digest.Parse(string(content))
			if err != nil {
				return nil, fmt.Errorf("%s/link holds %q, which is no digest: %w", e, content, err)
			}
			all = append(all, link{path: e, target: target})
		}
	}
	return all, nil
}

// named is the digest that a link's folder is called after; it is another than
// the target when a client used another algorithm.
func named(dir string) digest.Digest {
	return digest.NewDigestFromEncoded(digest.Algorithm(path.Base(path.Dir(dir))), path.Base(dir))
}

func blobPath(d digest.Digest) string {
	hex := d.Encoded()
	return path.Join(blobsRoot, d.Algorithm().String(), hex[:2], hex)
}
