package container

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
)

// sizeRw is what the container has written, in bytes: the sum over the upper
// directory, a file with several names once.
func (s *Service) sizeRw(id string) (int64, error) {
	var total int64
	seen := map[uint64]bool{}
	err := filepath.WalkDir(filepath.Join(s.records.dir(id), upperDir), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // it went away meanwhile
		}
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := mount.StatOf(info); ok && st.Linked {
			if seen[st.Inode] {
				return nil
			}
			seen[st.Inode] = true
		}
		total += info.Size()
		return nil
	})
	return total, err
}

// sizes returns what the container wrote, and that with its image.
func (s *Service) sizes(ctx context.Context, r *Record) (rw, root int64) {
	rw, err := s.sizeRw(r.ID)
	if err != nil {
		s.log.Warn("cannot measure a container", "container", r.ID, "err", err)
	}
	img, err := s.images.Inspect(ctx, r.Image.ID.String(), image.InspectOptions{})
	if err != nil {
		return rw, rw
	}
	return rw, rw + img.Size
}

// Space tells where the containers' bytes are.
func (s *Service) Space(ctx context.Context) ([]file.Space, error) {
	in := func(what, name string) file.Space {
		return file.Space{What: what, Path: filepath.Join(s.records.root, "*", name)}
	}
	return file.Measure(ctx, []file.Space{
		in("container files", upperDir), in("container logs", logDir), in("container records", "*.json"),
		{What: "removed containers", Path: filepath.Join(s.records.root, ".gone-*")},
	})
}
