package file

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Allocated is how many bytes the file system has allocated for path and all
// below it, files with several names once. It does not follow links and stays
// on one file system; what goes away meanwhile is left out. A path that is not
// there has none.
func Allocated(ctx context.Context, path string) (int64, error) {
	var total int64
	var device uint64
	seen := map[uint64]bool{}
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return at("stat", name, nil, err)
		}
		if device == 0 {
			device = st.Dev
		}
		if st.Dev != device {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if st.Nlink > 1 && !d.IsDir() {
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
		}
		total += st.Blocks * 512 // stat(2): always this unit
		return nil
	})
	return total, err
}
