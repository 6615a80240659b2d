package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/mount"
)

// placesDir is the lowest layer of every container.
const placesDir = "places"

// makePlaces makes the layer with what every container has mounts over, whatever
// its image has: nothing has to be made for them in each container, where that
// would be a change of its files, too.
func makePlaces(root string) error {
	dir := filepath.Join(root, placesDir)
	for _, sub := range []string{"dev", "proc", "sys", "etc"} {
		err := os.MkdirAll(filepath.Join(dir, sub), 0o755)
		if err == nil {
			err = os.Chmod(filepath.Join(dir, sub), 0o755) //nolint:gosec // containers' users read them
		}
		if err != nil {
			return fmt.Errorf("make the places of mounts: %w", err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // likewise
		return fmt.Errorf("make the places of mounts: %w", err)
	}
	for _, name := range etcFiles {
		f, err := os.OpenFile(filepath.Join(dir, "etc", name), os.O_CREATE|os.O_WRONLY, 0o755)
		if err != nil {
			return fmt.Errorf("make the places of mounts: %w", err)
		}
		if err := errors.Join(f.Chmod(0o755), f.Close()); err != nil {
			return fmt.Errorf("make the places of mounts: %w", err)
		}
	}
	return nil
}

// maxLower is how many layers an image may have for the places to be below them:
// the kernel takes 500.
const maxLower = 490

// imageOf resolves the image of the container again after a restart of the
// daemon. The caller holds the lock.
func (s *Service) imageOf(ctx context.Context, e *entry) (*image.Image, error) {
	if e.image != nil {
		return e.image, nil
	}
	r := e.record()
	img, err := s.images.Resolve(ctx, r.Image.ID.String(), &r.Image.Platform)
	if errdefs.IsNotFound(err) {
		// Removed by force meanwhile. Its layers stay while containers hold them.
		img, err = &image.Image{ID: r.Image.ID, Manifest: r.Image.Manifest, ChainID: r.Image.ChainID, Platform: r.Image.Platform}, nil
	}
	if err != nil {
		return nil, err
	}
	e.image = img
	return img, nil
}

// mountRoot makes the container's root file system as one detached mount:
// it is in nobody's mount table and goes with its descriptor.
func (s *Service) mountRoot(ctx context.Context, e *entry, u *undo) (root *os.File, release func(), err error) {
	if err := s.sandboxes.Gone(ctx, e.id); err != nil {
		return nil, nil, fmt.Errorf("wait for the end of the run before: %w", err)
	}
	img, err := s.imageOf(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	layers, err := s.images.Rootfs(ctx, img)
	if err != nil {
		return nil, nil, err
	}
	u.push(func(context.Context) { layers.Release() })
	lower := layers.Lower
	if len(lower) <= maxLower {
		lower = append(lower, filepath.Join(s.records.root, placesDir))
	}
	dir := s.records.dir(e.id)
	upper, work := filepath.Join(dir, upperDir), filepath.Join(dir, workDir)
	remap := s.remapOf(e.record())
	if e.record().Run == 0 {
		if err := likeImage(upper, lower[0], remap); err != nil {
			return nil, nil, fmt.Errorf("mount root file system: %w", err)
		}
	}
	root, err = mount.Overlay(mount.Layers{Lower: lower, Upper: upper, Work: work, IDMap: remap.Namespace()})
	if err != nil {
		return nil, nil, fmt.Errorf("mount root file system: %w", err)
	}
	u.push(func(context.Context) { s.report(e.id, root.Close()) })
	return root, layers.Release, nil
}

// likeImage gives the upper directory owner and mode of the image's root: the
// merged root shows the upper's.
func likeImage(upper, lower string, remap *Remap) error {
	info, err := os.Stat(lower)
	if err != nil {
		return err
	}
	if st, ok := mount.StatOf(info); ok {
		uid, gid := remap.ToHost(int(st.UID), int(st.GID))
		if err := os.Lchown(upper, uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(upper, info.Mode())
}

// settleIn resolves in the root file system what the image decides: the user,
// and the working directory, which is made if it is missing.
func settleIn(root *os.File, r *Record, remap *Remap) (spec.User, error) {
	u, err := spec.ResolveUser(root, r.Config.User, r.HostConfig.GroupAdd)
	if err != nil {
		return u, err
	}
	dir := spec.WorkingDir(r.Config)
	if dir == "/" {
		return u, nil
	}
	uid, gid := remap.ToHost(0, 0)
	if err := mount.MkdirAllInRoot(root, dir, 0o755, uid, gid); err != nil {
		return u, invalid("mkdir %s in the container: %w", dir, err)
	}
	return u, nil
}
