package archive

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/file"
)

// engineMade are the entries that the engine makes to mount on, as far as the
// image has none. Docker keeps them in a layer of their own, so that they are
// no changes of the container.
var engineMade = []string{
	"/.dockerenv", "/dev", "/dev/console", "/dev/mqueue", "/dev/pts", "/dev/shm", "/etc", "/etc/hostname", "/etc/hosts",
	"/etc/mtab", "/etc/resolv.conf", "/proc", "/sys",
}

// Changes tells how a container's file system differs from its image: upper is
// the directory that overlayfs keeps the container's files in, lower the
// image's root. It says what a comparison of both trees would (Docker's way),
// sorted by path, and reads only what the container has touched. A file whose
// size, time, mode and owner are the image's counts as unchanged. The upper
// directory may be in use.
func Changes(upper, lower *os.File) ([]container.FilesystemChange, error) {
	c := &comparison{}
	if err := c.dir(upper, lower, ""); err != nil {
		return nil, err
	}
	return c.found, nil
}

type comparison struct {
	found []container.FilesystemChange
}

func (c *comparison) add(kind container.ChangeType, path string) {
	c.found = append(c.found, container.FilesystemChange{Kind: kind, Path: path})
}

// dir compares a directory with that of the image, which is nil if the image
// has none there.
func (c *comparison) dir(upper, lower *os.File, path string) error {
	entries, err := upper.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	hides, err := file.Xattr(upper, "trusted.overlay.opaque")
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	if hides == "y" && lower != nil {
		old, err := lower.Readdirnames(-1)
		if err != nil {
			return err
		}
		for _, name := range old {
			if !slices.Contains(entries, name) {
				gone[name] = true
				entries = append(entries, name)
			}
		}
	}
	slices.Sort(entries)
	for _, name := range entries {
		if gone[name] {
			c.add(container.ChangeDelete, path+"/"+name)
			continue
		}
		if err := c.entry(upper, lower, name, path+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) entry(upper, lower *os.File, name, path string) error {
	f, err := file.Handle(upper, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went away meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := file.StatAt(f, "")
	if err != nil {
		return err
	}
	old, oldStat, err := counterpart(lower, name)
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
	}
	if st.IsWhiteout() {
		if old != nil {
			c.add(container.ChangeDelete, path)
		}
		return nil
	}
	before := len(c.found)
	if err := c.itself(f, old, &st, &oldStat, path); err != nil {
		return err
	}
	if !st.IsDir() {
		return nil
	}
	listed := len(c.found) > before
	if err := c.below(f, old, &oldStat, path); err != nil {
		return err
	}
	if len(c.found) > before && !listed {
		// What changed inside changes a directory, too.
		c.found = slices.Insert(c.found, before, container.FilesystemChange{Kind: container.ChangeModify, Path: path})
	}
	return nil
}

// counterpart is the image's entry of a name; nil if there is none.
func counterpart(lower *os.File, name string) (*os.File, file.Stat, error) {
	if lower == nil {
		return nil, file.Stat{}, nil
	}
	f, err := file.Handle(lower, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, file.Stat{}, nil
	}
	if err != nil {
		return nil, file.Stat{}, err
	}
	st, err := file.StatAt(f, "")
	if err != nil {
		f.Close()
		return nil, st, err
	}
	return f, st, nil
}

func (c *comparison) itself(f, old *os.File, st, oldStat *file.Stat, path string) error {
	if old == nil {
		if !slices.Contains(engineMade, path) || !st.IsDir() && st.Size > 0 {
			c.add(container.ChangeAdd, path)
		}
		return nil
	}
	differ, err := differs(f, old, st, oldStat)
	if err == nil && differ {
		c.add(container.ChangeModify, path)
	}
	return err
}

func differs(f, old *os.File, st, oldStat *file.Stat) (bool, error) {
	if st.Mode != oldStat.Mode || st.UID != oldStat.UID || st.GID != oldStat.GID || st.Major != oldStat.Major || st.Minor != oldStat.Minor {
		return true, nil
	}
	if st.IsDir() {
		return false, nil // its size and time change with every entry
	}
	if st.Size != oldStat.Size || !sameTime(st.Modified, oldStat.Modified) {
		return true, nil
	}
	if !st.Mode.IsRegular() {
		return false, nil
	}
	caps, err := file.Xattr(f, file.Capability)
	if err != nil {
		return false, err
	}
	oldCaps, err := file.Xattr(old, file.Capability)
	return caps != oldCaps, err
}

// sameTime takes times of a file system, or an archive, that has none below
// the second for equal.
func sameTime(a, b time.Time) bool {
	return a.Unix() == b.Unix() && (a.Nanosecond() == b.Nanosecond() || a.Nanosecond() == 0 || b.Nanosecond() == 0)
}

func (c *comparison) below(f, old *os.File, oldStat *file.Stat, path string) error {
	upper, err := file.Reopen(f, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer upper.Close()
	if old == nil || !oldStat.IsDir() {
		return c.dir(upper, nil, path)
	}
	lower, err := file.Reopen(old, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer lower.Close()
	return c.dir(upper, lower, path)
}
