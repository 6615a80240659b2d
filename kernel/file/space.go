package file

import (
	"context"
	"path/filepath"
)

// Space is how much the files have that match a pattern.
type Space struct {
	What  string // for people
	Path  string // pattern of filepath.Match
	Bytes int64
}

// Measure fills in the Bytes of a list of patterns, which must not overlap. A
// file that has names in several of what matches counts each time.
func Measure(ctx context.Context, list []Space) ([]Space, error) {
	for i := range list {
		paths, err := filepath.Glob(list[i].Path)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			n, err := Allocated(ctx, p)
			if err != nil {
				return nil, err
			}
			list[i].Bytes += n
		}
	}
	return list, nil
}
