package container

import (
	"context"
	"fmt"
	"os"

	mounttypes "github.com/moby/moby/api/types/mount"

	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/mount"
)

// resolveImages finds the images that a request mounts, and remembers which they
// are: a tag may move.
func (s *Service) resolveImages(ctx context.Context, mounts []Mount) error {
	for i := range mounts {
		m := &mounts[i]
		if m.Type != mounttypes.TypeImage {
			continue
		}
		img, err := s.images.Resolve(ctx, m.Source, nil)
		if err != nil {
			// Not "not found": clients take that for the container's image.
			return invalid("invalid mount config for type \"image\": %w", err)
		}
		m.Image = &ImageRef{ID: img.ID, Ref: m.Source, Manifest: img.Manifest, ChainID: img.ChainID, Platform: img.Platform}
	}
	return nil
}

// image is the image again, also when it was removed by force meanwhile.
func (r *ImageRef) image() *image.Image {
	return &image.Image{ID: r.ID, Manifest: r.Manifest, ChainID: r.ChainID, Platform: r.Platform}
}

// holdImages tells the image store that the container uses the images that it
// mounts.
func (s *Service) holdImages(e *entry, mounts []Mount) {
	for i := range mounts {
		if ref := mounts[i].Image; ref != nil {
			e.held = append(e.held, s.images.Hold(ref.image(), s.holder(e)))
		}
	}
}

func (s *Service) holder(e *entry) image.Holder {
	return image.Holder{ContainerID: e.id, Running: func() bool { return e.record().State.live() }}
}

// mountImage adds the files of an image, or of a directory in it, to set. Nobody
// writes to them.
func (s *Service) mountImage(ctx context.Context, m *Mount, remap *Remap, set *mountSet, u *undo) error {
	layers, err := s.images.Rootfs(ctx, m.Image.image())
	if err != nil {
		return fmt.Errorf("mount image %s: %w", m.Source, err)
	}
	u.push(func(context.Context) { layers.Release() })
	tree, err := mount.Overlay(mount.Layers{Lower: layers.Lower, IDMap: remap.Namespace()})
	if err == nil && m.Subpath != "" {
		tree, err = partOf(tree, m.Subpath)
	}
	if err != nil {
		return invalid("mount image %s: %w", m.Source, err)
	}
	set.give(tree, m.Destination, "bind", "ro")
	set.releases = append(set.releases, layers.Release)
	return nil
}

// partOf is what is at path in tree, which it takes: what lies in an image, a
// stranger decides, so links lead to what is in it. A detached mount cannot be
// copied in part before it is in a namespace.
func partOf(tree *os.File, path string) (*os.File, error) {
	view, err := mount.NewView(tree, func() error { return nil })
	if err != nil {
		return nil, err
	}
	part, err := view.CloneAt(path)
	if closeErr := view.Close(); err == nil && closeErr != nil {
		_ = part.Close()
		return nil, closeErr
	}
	return part, err
}

// useImages keeps the files of images that a run which was adopted has mounted.
func (s *Service) useImages(ctx context.Context, mounts []Mount) (releases []func(), err error) {
	for i := range mounts {
		ref := mounts[i].Image
		if ref == nil {
			continue
		}
		layers, err := s.images.Rootfs(ctx, ref.image())
		if err != nil {
			return releases, err
		}
		releases = append(releases, layers.Release)
	}
	return releases, nil
}
