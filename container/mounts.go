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

// hostMounts turns the container's mounts into those of the specification, for
// user: the container itself, or who copies its files meanwhile. Files opened on the way stay open until u runs or done is called: their
// descriptors' paths are the sources.
func (s *Service) hostMounts(ctx context.Context, root *os.File, r *Record, user string, u *undo) ([]specs.Mount, func(), error) {
	var open []*os.File
	done := func() {
		for _, f := range open {
			_ = f.Close() // handles only
		}
		open = nil
	}
	u.push(func(context.Context) { done() })
	var out []specs.Mount
	for i := range r.Mounts {
		m := &r.Mounts[i]
		sm := specs.Mount{Destination: m.Destination, Type: "bind"}
		switch m.Type {
		case mounttypes.TypeTmpfs:
			sm.Type, sm.Source, sm.Options = "tmpfs", "tmpfs", m.TmpfsOptions
			out = append(out, sm)
			continue
		case mounttypes.TypeVolume:
			src, f, err := s.volumeSource(ctx, root, r, m, user, u)
			if f != nil {
				open = append(open, f)
			}
			if err != nil {
				return nil, done, err
			}
			sm.Source = src
		default:
			sm.Source = m.Source
			if err := makeSource(m); err != nil {
				return nil, done, err
			}
		}
		sm.Options = bindOptions(m)
		out = append(out, sm)
	}
	return out, done, nil
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
func makeSource(m *Mount) error {
	_, err := os.Stat(m.Source)
	if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(m.Source, 0o755)
	}
	if err != nil {
		return invalid("error while creating mount source path '%s': %w", m.Source, err)
	}
	return nil
}

// volumeSource returns the host path of a volume, filled from the image if it
// is empty.
func (s *Service) volumeSource(ctx context.Context, root *os.File, r *Record, m *Mount, user string, u *undo) (string, *os.File, error) {
	v, err := s.mountVolume(ctx, r, m, user, u)
	if err != nil {
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
	return descriptorPath(f), f, nil
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
