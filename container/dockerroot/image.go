package dockerroot

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Image is an image in either of the forms in which Docker keeps it.
type Image struct {
	ID    string   // Docker's
	Names []string // tags, sorted; digests of registries are left out

	// Of a storage driver there are the configuration, whose digest is the ID, and
	// the directories of the layers, the lowest first.
	Config dockerspec.DockerOCIImage
	Layers []Files

	// Of containerd's store there is the image as it came, whose digest is the ID:
	// Archive writes it as a tar in the OCI image layout, with some names.
	Archive func(ctx context.Context, w io.Writer, names []string) error
}

// Images lists the images that can be read; failed says of the others, or of
// whole stores, why not.
func (r *Root) Images(ctx context.Context) (list []Image, failed map[string]error, err error) {
	failed = map[string]error{}
	stores, err := os.ReadDir(r.in("image"))
	if err != nil && !missing(err) {
		return nil, nil, err
	}
	for _, s := range stores {
		d, known := driverOf(s.Name())
		if !known {
			failed["of the storage driver "+s.Name()] = fmt.Errorf(
				"its layers cannot be read: move its images with `docker save` and `berth load`: %w", errdefs.ErrNotImplemented)
			continue
		}
		found, err := r.images(d, failed)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, found...)
	}
	found, err := r.containerd.images(ctx)
	if r.containerd != nil && len(list) == 0 {
		// Else Docker had no use for it; containers that need it say so.
		err = cmp.Or(err, r.containerd.locked)
	}
	if err != nil {
		failed["of containerd's image store"] = err
	}
	return append(list, found...), failed, nil
}

// images are those of a storage driver.
func (r *Root) images(d driver, failed map[string]error) ([]Image, error) {
	var repos struct {
		Repositories map[string]map[string]digest.Digest
	}
	if err := r.readJSON(&repos, "image", d.name, "repositories.json"); err != nil && !missing(err) {
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
	entries, err := os.ReadDir(r.in("image", d.name, "imagedb", "content", "sha256"))
	if err != nil && !missing(err) {
		return nil, err
	}
	var list []Image
	for _, e := range entries {
		if !hexID.MatchString(e.Name()) {
			continue
		}
		i := Image{ID: "sha256:" + e.Name(), Names: names[e.Name()]}
		slices.Sort(i.Names)
		if err := r.readImage(d, &i, e.Name()); err != nil {
			failed[shown(&i)] = err
			continue
		}
		list = append(list, i)
	}
	return list, nil
}

// shown is what users call an image.
func shown(i *Image) string {
	if len(i.Names) > 0 {
		return i.Names[0]
	}
	return i.ID
}

func (r *Root) readImage(d driver, i *Image, id string) error {
	if err := r.readJSON(&i.Config, "image", d.name, "imagedb", "content", "sha256", id); err != nil {
		return err
	}
	for _, chain := range identity.ChainIDs(slices.Clone(i.Config.RootFS.DiffIDs)) {
		if err := chain.Validate(); err != nil {
			return err
		}
		layer, err := r.kept(d, "sha256", chain.Encoded(), "cache-id")
		if err != nil {
			return err
		}
		i.Layers = append(i.Layers, layer)
	}
	return nil
}
