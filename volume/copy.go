package volume

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/berth-engine/berth/kernel/file"
)

// copying is the name of users that read or write a volume for its owner.
const copying = "a copy of its files"

// OpenData opens the directory of a volume's data, with its device mounted. The
// volume cannot be removed until release is called.
func (s *Store) OpenData(ctx context.Context, name string) (dir *os.File, release func(), err error) {
	v, err := s.Mount(ctx, "", name, copying)
	if err != nil {
		return nil, nil, err
	}
	unmount := sync.OnceFunc(func() {
		if _, err := s.Unmount(v.ID, name, copying); err != nil {
			s.log.Warn("cannot unmount a volume", "volume", name, "err", err)
		}
	})
	dir, err = os.Open(v.Path)
	if err != nil {
		unmount()
		return nil, nil, fmt.Errorf("open volume %s: %w", name, err)
	}
	return dir, func() {
		dir.Close()
		unmount()
	}, nil
}

// Copy makes a new volume with the files of another, sharing their blocks where
// the file system can. What is written meanwhile may be in the copy or not.
func (s *Store) Copy(ctx context.Context, name string, o CreateOptions) (Volume, error) {
	src, release, err := s.OpenData(ctx, name)
	if err != nil {
		return Volume{}, err
	}
	defer release()
	return s.Fill(ctx, o, func(dst *os.File) error { return file.CopyTree(ctx, dst, src) })
}
