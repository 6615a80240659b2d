package mirror

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// used notes that a file is wanted, for evict.
func used(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now) // it may just have been evicted, which costs a download
}

// evict removes what was not used for longest until a tenth is free, once a
// mirror keeps more than it may. keep stays. Who is reading reads on.
func (s *Service) evict(m Mirror, keep string) error {
	dir := filepath.Join(s.Dir, m.ID)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	var total int64
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "part-") {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		total += info.Size()
		if e.Name() != filepath.Base(keep) {
			files = append(files, info)
		}
	}
	if total <= m.Capacity {
		return nil
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, f := range files {
		if total <= m.Capacity/10*9 {
			break
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.Size()
	}
	return nil
}
