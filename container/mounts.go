package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	mounttypes "github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/volume"
)

// openPath is O_PATH: a handle that reads nothing and cannot hang.
const openPath = 0x200000

// mountSet is the mounts of one run.
type mountSet struct {
	specs []specs.Mount
	// sources are detached mounts, by the Source of their element of specs.
	sources map[string]*os.File
	// open are descriptors whose paths are sources.
	open []*os.File
	// releases give back the images whose files are mounted, after the run.
	releases []func()
}

// close closes what only the start of the run needs.
func (m *mountSet) close() {
	for _, f := range m.open {
		_ = f.Close() // handles only
	}
	for _, f := range m.sources {
		_ = f.Close() // likewise
	}
	m.open, m.sources = nil, nil
}

// give adds a mount whose source is detached. Its name is one that no path has.
func (m *mountSet) give(f *os.File, dest string, options ...string) {
	if m.sources == nil {
		m.sources = map[string]*os.File{}
	}
	name := "given " + dest
	m.sources[name] = f
	m.specs = append(m.specs, specs.Mount{Destination: dest, Type: "bind", Source: name, Options: options})
}

// hostMounts turns the container's mounts into those of the specification, for
// user: the container itself, or who copies its files meanwhile. What was opened
// on the way stays open until u runs or the set is closed.
func (s *Service) hostMounts(ctx context.Context, root *os.File, r *Record, user string, u *undo) (*mountSet, error) {
	set := &mountSet{}
	u.push(func(context.Context) { set.close() })
	for i := range r.Mounts {
		m := &r.Mounts[i]
		sm := specs.Mount{Destination: m.Destination, Type: "bind"}
		switch m.Type {
		case mounttypes.TypeTmpfs:
			sm.Type, sm.Source, sm.Options = "tmpfs", "tmpfs", m.TmpfsOptions
			set.specs = append(set.specs, sm)
			continue
		case mounttypes.TypeImage:
			if err := s.mountImage(ctx, m, s.remapOf(r), set, u); err != nil {
				return nil, err
			}
			continue
		case mounttypes.TypeVolume:
			src, part, err := s.volumeSource(ctx, root, r, m, user, u)
			if err != nil {
				return nil, err
			}
			if part != nil {
				set.give(part, m.Destination, bindOptions(m)...)
				continue
			}
			sm.Source = src
		default:
			sm.Source = m.Source
			if err := makeSource(m, s.remapOf(r)); err != nil {
				return nil, err
			}
		}
		sm.Options = bindOptions(m)
		set.specs = append(set.specs, sm)
	}
	return set, nil
}

func bindOptions(m *Mount) []string {
	opts := []string{"rbind"}
	if m.NonRecursive {
		opts[0] = "bind"
	}
	if m.Propagation != "" {
		opts = append(opts, string(m.Propagation))
	}
	switch {
	case !m.ReadOnly:
		return append(opts, "rw")
	case m.ReadOnlyNonRecursive || m.NonRecursive:
		return append(opts, "ro")
	}
	return append(opts, "ro", "rro")
}

// makeSource makes the directory of a -v bind that does not exist, as Docker
// does.
func makeSource(m *Mount, remap *Remap) error {
	_, err := os.Stat(m.Source)
	if errors.Is(err, os.ErrNotExist) {
		err = remap.makeDirs(m.Source)
	}
	if err != nil {
		return invalid("error while creating mount source path '%s': %w", m.Source, err)
	}
	return nil
}

// volumeSource returns the host path of a volume, filled from the image if it
// is empty; or, of a part of a volume, a detached mount.
func (s *Service) volumeSource(ctx context.Context, root *os.File, r *Record, m *Mount, user string, u *undo) (string, *os.File, error) {
	v, err := s.mountVolume(ctx, r, m, user, u)
	if err != nil {
		return "", nil, err
	}
	if err := s.remapOf(r).ownVolume(v.Path); err != nil {
		return "", nil, err
	}
	if !m.NoCopy && m.Subpath == "" {
		if err := copyUp(ctx, root, v, m.Destination); err != nil {
			return "", nil, err
		}
	}
	if m.Subpath == "" {
		return v.Path, nil, nil
	}
	// What lies in a volume, containers decide: resolve inside, by descriptor.
	top, err := os.Open(v.Path)
	if err != nil {
		return "", nil, fmt.Errorf("volume %s: %w", v.Name, err)
	}
	defer top.Close()
	f, err := mount.OpenInRoot(top, m.Subpath, openPath, 0)
	if err != nil {
		return "", nil, invalid("cannot access path %s of volume %s: %w", m.Subpath, v.Name, err)
	}
	defer f.Close()
	// A path would lead there from this mount namespace only.
	part, err := mount.CloneFile(f, !m.NonRecursive)
	if err == nil && m.ReadOnly {
		err = mount.SetReadOnly(part)
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("mount path %s of volume %s: %w", m.Subpath, v.Name, err), closeFile(part))
	}
	return "", part, nil
}

// descriptorPath names an open file for another process of root.
func descriptorPath(f *os.File) string {
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.FormatUint(uint64(f.Fd()), 10)
}

// copyUp fills an empty volume with the image's files at dest. Where the image
// has no directory there is nothing to copy.
func copyUp(ctx context.Context, root *os.File, v volume.Volume, dest string) error {
	handle, err := mount.OpenInRoot(root, dest, openPath, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fill volume %s: %w", v.Name, err)
	}
	info, err := handle.Stat()
	closeErr := handle.Close()
	if err := errors.Join(err, closeErr); err != nil || !info.IsDir() {
		return err
	}
	dir, err := mount.OpenInRoot(root, dest, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("fill volume %s: %w", v.Name, err)
	}
	err = volume.CopyUp(ctx, v, dir)
	return errors.Join(err, dir.Close())
}
