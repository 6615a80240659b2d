package dockerroot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Image is an image with the directories of its layers.
type Image struct {
	ID     string   // Docker's: the digest of its configuration
	Names  []string // tags, sorted; digests of registries are left out
	Config dockerspec.DockerOCIImage
	Layers []string // directories as overlayfs has them, the lowest first
}

// Images lists the images. Those of containerd's image store, and of storage
// drivers other than overlay2, cannot be read: errdefs.NotImplemented.
func (r *Root) Images() ([]Image, error) {
	var repos struct {
		Repositories map[string]map[string]digest.Digest
	}
	err := r.readJSON(&repos, "image", driver, "repositories.json")
	if missing(err) {
		return nil, fmt.Errorf("%s has no images of the storage driver %s: move them with `docker save` and `berth load`: %w",
			r.dir, driver, errdefs.ErrNotImplemented)
	}
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	for _, refs := range repos.Repositories {
		for ref, id := range refs {
			if !strings.Contains(ref, "@") {
				names[id.Encoded()] = append(names[id.Encoded()], ref)
			}
		}
	}
	entries, err := os.ReadDir(r.in("image", driver, "imagedb", "content", "sha256"))
	if err != nil {
		return nil, err
	}
	var list []Image
	for _, e := range entries {
		if !hexID.MatchString(e.Name()) {
			continue
		}
		i := Image{ID: "sha256:" + e.Name(), Names: names[e.Name()]}
		slices.Sort(i.Names)
		if err := r.readJSON(&i.Config, "image", driver, "imagedb", "content", "sha256", e.Name()); err != nil {
			return nil, err
		}
		for _, chain := range identity.ChainIDs(slices.Clone(i.Config.RootFS.DiffIDs)) {
			dir, err := r.layer(chain)
			if err != nil {
				return nil, fmt.Errorf("image %s: %w", i.ID, err)
			}
			i.Layers = append(i.Layers, dir)
		}
		list = append(list, i)
	}
	return list, nil
}

// layer is the directory of a layer, by its chain ID.
func (r *Root) layer(chain digest.Digest) (string, error) {
	if err := chain.Validate(); err != nil {
		return "", err
	}
	return r.cached("image", driver, "layerdb", "sha256", chain.Encoded(), "cache-id")
}

// cached reads the name of a layer's directory from a file.
func (r *Root) cached(elem ...string) (string, error) {
	data, err := os.ReadFile(r.in(elem...))
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(data))
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return "", fmt.Errorf("%q is not the name of a layer: %w", id, errdefs.ErrInvalidArgument)
	}
	dir := r.in(driver, id, "diff")
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	return dir, nil
}
