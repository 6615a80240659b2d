package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/container/archive"
	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/kernel/mount"
)

// StatPath describes a file of a container, running or not.
func (s *Service) StatPath(ctx context.Context, ref, path string) (container.PathStat, error) {
	e, use, _, err := s.openFiles(ctx, ref)
	if err != nil {
		return container.PathStat{}, err
	}
	defer e.copies.end(use)
	st, err := archive.Stat(use.view.Root, path)
	return st, lookedUp(err, ref, path)
}

// Archive returns a file or directory of a container as a tar stream. It ends
// with ctx; the caller closes it.
func (s *Service) Archive(ctx context.Context, ref, path string) (io.ReadCloser, container.PathStat, error) {
	e, use, ctx, err := s.openFiles(ctx, ref)
	if err != nil {
		return nil, container.PathStat{}, err
	}
	st, err := archive.Stat(use.view.Root, path)
	if err != nil {
		e.copies.end(use)
		return nil, st, lookedUp(err, ref, path)
	}
	s.announce(e.record(), events.ActionArchivePath)
	return s.stream(ctx, e, use, func(w io.Writer) error {
		return archive.Pack(ctx, w, use.view.Root, path, archive.PackOptions{IDs: s.remapOf(e.record()).fromHost})
	}), st, nil
}

// Export returns the root file system of a container, without what is mounted
// in it, as a tar stream. It ends with ctx; the caller closes it.
func (s *Service) Export(ctx context.Context, ref string) (io.ReadCloser, error) {
	e, use, ctx, err := s.openFiles(ctx, ref)
	if err != nil {
		return nil, err
	}
	dir, err := bareRoot(use.view)
	if err != nil {
		e.copies.end(use)
		return nil, fmt.Errorf("export %s: %w", ref, err)
	}
	s.announce(e.record(), events.ActionExport)
	return s.stream(ctx, e, use, func(w io.Writer) error {
		defer dir.Close()
		return archive.PackAll(ctx, w, dir, archive.PackOptions{Exact: true, IDs: s.remapOf(e.record()).fromHost})
	}), nil
}

// bareRoot opens the root directory without what is mounted in it.
func bareRoot(v *mount.View) (*os.File, error) {
	tree, err := v.CloneRoot()
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	return mount.OpenInRoot(tree, "/", os.O_RDONLY, 0)
}

// ExtractOptions say how files are put into a container.
type ExtractOptions struct {
	// NoOverwriteDirNonDir: see archive.UnpackOptions.
	NoOverwriteDirNonDir bool
	// CopyUIDGID gives all files to the user that the container is run as, if
	// one is configured, as Docker does.
	CopyUIDGID bool
	// Interrupt makes a read of the stream that is under way return. It is
	// called when the copy has to end. Nil: reads return by themselves.
	Interrupt func()
}

// Extract unpacks a tar stream, which may be compressed, into a directory of a
// container, running or not.
func (s *Service) Extract(ctx context.Context, ref, path string, r io.Reader, o ExtractOptions) error {
	e, use, ctx, err := s.openFiles(ctx, ref)
	if err != nil {
		return err
	}
	defer e.copies.end(use)
	if o.Interrupt != nil {
		defer context.AfterFunc(ctx, o.Interrupt)()
	}
	root, rec := use.view.Root, e.record()
	dir, err := archive.Resolve(root, archive.Clean(path))
	if err != nil {
		return lookedUp(err, ref, path)
	}
	st, err := archive.Stat(root, dir)
	if err != nil {
		return lookedUp(err, ref, path)
	}
	if !st.Mode.IsDir() {
		return invalid("extraction point is not a directory")
	}
	if err := writable(rec, dir); err != nil {
		return err
	}
	uo := archive.UnpackOptions{NoOverwriteDirNonDir: o.NoOverwriteDirNonDir, IDs: s.remapOf(rec).ToHost}
	if o.CopyUIDGID && rec.Config.User != "" {
		u, err := spec.ResolveUser(root, rec.Config.User, nil)
		if err != nil {
			return err
		}
		uo.Owner = &archive.Owner{UID: int(u.UID), GID: int(u.GID)}
	}
	err = archive.Unpack(ctx, root, dir, &moving{r: r, use: use, now: s.clock.now}, uo)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("copy to %s: %w", ref, cause)
	}
	if err == nil {
		s.announce(rec, events.ActionExtractToDir)
	}
	return lookedUp(err, ref, path)
}

// Changes tells how the container's files differ from the image's.
func (s *Service) Changes(ctx context.Context, ref string) ([]container.FilesystemChange, error) {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return nil, err
	}
	img, err := s.imageOf(ctx, e)
	e.release()
	if err != nil {
		return nil, err
	}
	upper, lower, done, err := s.openChanges(ctx, e, img)
	if err != nil {
		return nil, fmt.Errorf("changes of %s: %w", ref, err)
	}
	defer done()
	found, err := archive.Changes(upper, lower)
	if err != nil {
		return nil, fmt.Errorf("changes of %s: %w", ref, err)
	}
	return found, nil
}

// lookedUp gives an error its kind and Docker's words for what is not there.
func lookedUp(err error, ref, path string) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return notFound("Could not find the file %s in container %s", path, ref)
	case mount.BadPath(err):
		return invalid("%s in container %s: %w", path, ref, err)
	case mount.ReadOnly(err):
		return fail(errdefs.ErrPermissionDenied, "%s in container %s is on a read-only file system", path, ref)
	}
	return err
}

// writable refuses what the container is configured not to change.
func writable(r *Record, dir string) error {
	// The innermost mount decides.
	at := slices.IndexFunc(innermost(r.Mounts), func(m Mount) bool { return within(dir, m.Destination) })
	switch {
	case at < 0 && r.HostConfig.ReadonlyRootfs:
		return fail(errdefs.ErrPermissionDenied, "container rootfs is marked read-only")
	case at >= 0 && innermost(r.Mounts)[at].ReadOnly:
		return fail(errdefs.ErrPermissionDenied, "mounted volume is marked read-only")
	}
	return nil
}

// innermost are the mounts with the deepest destinations first.
func innermost(all []Mount) []Mount {
	return slices.SortedStableFunc(slices.Values(all), func(a, b Mount) int {
		return strings.Count(b.Destination, "/") - strings.Count(a.Destination, "/")
	})
}

// within tells whether a clean path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
