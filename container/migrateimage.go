package container

import (
	"context"
	"io"
	"os"
	"slices"

	ctarchive "github.com/containerd/containerd/v2/pkg/archive"

	"github.com/berth-engine/berth/container/archive"
	"github.com/berth-engine/berth/container/dockerroot"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/mount"
)

// migrateImage takes an image over, with those of its names that mean nothing
// here, and tells the ID that it has now.
func (s *Service) migrateImage(ctx context.Context, i *dockerroot.Image) (name, id string, err error) {
	names := slices.DeleteFunc(slices.Clone(i.Names), func(n string) bool {
		_, err := s.images.Resolve(ctx, n, nil)
		return err == nil // the one that is here stays
	})
	if len(names) == 0 && len(i.Names) > 0 {
		img, err := s.images.Resolve(ctx, i.Names[0], nil)
		if err != nil {
			return i.Names[0], "", err
		}
		return i.Names[0], img.ID.String(), conflict("an image of this name is here already")
	}
	name = i.ID
	if len(names) > 0 {
		name = names[0]
	}
	if i.Archive != nil {
		err = s.loadMigrated(ctx, i, names)
		return name, i.ID, err
	}
	id, err = s.assembleMigrated(ctx, i, names)
	return name, id, err
}

// loadMigrated loads an image as it came; its ID stays the same.
func (s *Service) loadMigrated(ctx context.Context, i *dockerroot.Image, names []string) error {
	r, w := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = w.CloseWithError(i.Archive(ctx, w, names)) // never fails
	}()
	err := s.images.Load(ctx, r, image.LoadOptions{})
	_ = r.CloseWithError(err) // never fails
	<-written
	return err
}

// assembleMigrated makes an image of its layers again. Its ID is another:
// Docker's is the digest of a configuration that names the tars of the layers,
// and those are not kept.
func (s *Service) assembleMigrated(ctx context.Context, i *dockerroot.Image, names []string) (id string, err error) {
	o := image.AssembleOptions{Config: i.Config}
	if len(names) > 0 {
		o.Name = names[0]
	}
	for n := range i.Layers {
		o.Layers = append(o.Layers, func(ctx context.Context, w io.Writer) (int, error) { return s.packMigrated(ctx, w, i.Layers[:n+1]) })
	}
	made, err := s.images.Assemble(ctx, o)
	if err != nil {
		return "", err
	}
	for _, n := range names[min(1, len(names)):] {
		if err := s.images.Tag(ctx, made.String(), n); err != nil {
			return made.String(), err
		}
	}
	return made.String(), nil
}

// packMigrated writes the last of some layers as a tar.
func (s *Service) packMigrated(ctx context.Context, w io.Writer, layers []dockerroot.Files) (int, error) {
	top := layers[len(layers)-1]
	if top.Whole {
		below := "" // nothing
		if len(layers) > 1 {
			below = layers[len(layers)-2].Dir
		}
		return 1, ctarchive.WriteDiff(ctx, w, below, top.Dir)
	}
	var below []string
	for _, l := range layers[:len(layers)-1] {
		below = append(below, l.Dir)
	}
	slices.Reverse(below) // overlayfs wants the topmost first
	return s.packLayer(ctx, w, top.Dir, below)
}

// packLayer writes a directory that overlayfs has made over others as a layer.
func (s *Service) packLayer(ctx context.Context, w io.Writer, upper string, below []string) (int, error) {
	top, err := os.Open(upper)
	if err != nil {
		return 0, err
	}
	defer top.Close()
	if len(below) == 0 {
		return archive.WholeLayer(ctx, w, top)
	}
	merged, err := mount.Overlay(mount.Layers{Lower: below})
	if err != nil {
		return 0, err
	}
	defer merged.Close()
	lower, err := mount.OpenInRoot(merged, "/", os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer lower.Close()
	return archive.Layer(ctx, w, top, lower, nil)
}
