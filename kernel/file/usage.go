package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
)

// Usage is how many bytes the files below dir have, each once. What goes away
// meanwhile is left out, and so are other mounts.
func Usage(ctx context.Context, dir *os.File) (int64, error) {
	id, err := MountID(dir)
	if err != nil {
		return 0, err
	}
	u := usage{mount: id, seen: map[[2]uint64]bool{}}
	err = u.add(ctx, dir)
	return u.total, err
}

type usage struct {
	mount uint64
	seen  map[[2]uint64]bool
	total int64
}

func (u *usage) add(ctx context.Context, dir *os.File) error {
	for {
		names, err := dir.Readdirnames(1024)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := u.entry(ctx, dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}

func (u *usage) entry(ctx context.Context, dir *os.File, name string) error {
	st, err := StatAt(dir, name)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		id := [2]uint64{st.Device, st.Inode}
		if st.Links > 1 && u.seen[id] {
			return nil
		}
		if st.Links > 1 {
			u.seen[id] = true
		}
		if st.Mode.IsRegular() {
			u.total += st.Size
		}
		return nil
	}
	sub, err := OpenDir(dir, name)
	if err != nil {
		return err
	}
	defer sub.Close()
	if id, err := MountID(sub); err != nil || id != u.mount {
		return err
	}
	return u.add(ctx, sub)
}
