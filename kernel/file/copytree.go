package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Capability is the attribute with the capabilities of a program.
const Capability = "security.capability"

// Portable tells which extended attributes mean the same on another file
// system. Others steer the kernel or a file system: trusted.overlay.… would
// forge whiteouts and redirects, labels of security modules are the host's to
// give.
func Portable(name string) bool {
	return name == Capability || strings.HasPrefix(name, "user.") ||
		name == "system.posix_acl_access" || name == "system.posix_acl_default"
}

// CopyTree copies all that is in the directory src into the empty directory
// dst, and the owner, mode, times and attributes of src itself: with hard
// links, holes, device nodes and portable attributes, and sharing the files'
// blocks where the file system can. It follows no links and enters no other
// mounts; where one is, dst gets an empty directory or file. Sockets and
// whiteouts are left out. More than 1000 directories deep is an error (ELOOP).
//
// Others may change src meanwhile; then the copy has some of the changes. What
// was copied before an error stays.
func CopyTree(ctx context.Context, dst, src *os.File) error {
	c := &copier{linked: map[[2]uint64]*os.File{}}
	var err error
	if c.mount, err = MountID(src); err != nil {
		return err
	}
	defer c.close()
	st, err := StatAt(src, "")
	if err != nil {
		return err
	}
	return c.dir(ctx, dst, src, &st)
}

// maxDepth bounds the descriptors that are open at a time: three a level.
const maxDepth = 1000

type copier struct {
	mount  uint64
	depth  int
	linked map[[2]uint64]*os.File // handles of copies of files with several names
	cannot bool                   // the file systems do not share blocks
}

// maxHeld bounds the handles that are kept for hard links; beyond, files with
// several names are copied for each.
const maxHeld = 256

func (c *copier) close() {
	for _, f := range c.linked {
		f.Close()
	}
}

func (c *copier) dir(ctx context.Context, dst, src *os.File, st *Stat) error {
	if c.depth++; c.depth > maxDepth {
		return fmt.Errorf("more than %d directories deep: %w", maxDepth, unix.ELOOP)
	}
	defer func() { c.depth-- }()
	for {
		names, err := src.Readdirnames(1024)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := c.entry(ctx, dst, src, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return dress(dst, src, st)
}

func (c *copier) entry(ctx context.Context, dst, src *os.File, name string) error {
	f, err := Handle(src, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := StatAt(f, "")
	if err != nil || st.Mode&fs.ModeSocket != 0 || st.IsWhiteout() {
		return err
	}
	id := [2]uint64{st.Device, st.Inode}
	if old := c.linked[id]; old != nil && !st.IsDir() {
		return Link(old, dst, name)
	}
	if err := c.create(ctx, dst, f, name, &st); err != nil {
		return err
	}
	if !st.IsDir() && st.Links > 1 && len(c.linked) < maxHeld {
		made, err := Handle(dst, name)
		if err != nil {
			return err
		}
		c.linked[id] = made
	}
	return nil
}

func (c *copier) create(ctx context.Context, dst, f *os.File, name string, st *Stat) error {
	switch {
	case st.IsDir():
		return c.subdir(ctx, dst, f, name, st)
	case st.Mode&fs.ModeSymlink != 0:
		target, err := Readlink(f, "")
		if err != nil {
			return err
		}
		if err := Symlink(dst, target, name); err != nil {
			return err
		}
		if err := Chown(dst, name, st.UID, st.GID); err != nil {
			return err
		}
		return SetTimes(dst, name, st.Accessed, st.Modified)
	case st.Mode.IsRegular():
		return c.regular(ctx, dst, f, name, st)
	}
	if err := Mknod(dst, name, st.Mode, st.Major, st.Minor); err != nil {
		return err
	}
	made, err := Handle(dst, name)
	if err != nil {
		return err
	}
	defer made.Close()
	return dress(made, f, st)
}

func (c *copier) subdir(ctx context.Context, dst, f *os.File, name string, st *Stat) error {
	if err := Mkdir(dst, name); err != nil {
		return err
	}
	to, err := OpenDir(dst, name)
	if err != nil {
		return err
	}
	defer to.Close()
	id, err := MountID(f)
	if err != nil {
		return err
	}
	if id != c.mount {
		return dress(to, f, st)
	}
	from, err := Reopen(f, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer from.Close()
	return c.dir(ctx, to, from, st)
}

func (c *copier) regular(ctx context.Context, dst, f *os.File, name string, st *Stat) (err error) {
	from, err := Reopen(f, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := Create(dst, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if id, err := MountID(f); err != nil || id != c.mount {
		return err // a mount on a file leaves it empty
	}
	if err := c.content(ctx, to, from, st.Size); err != nil {
		return err
	}
	return dress(to, from, st)
}

// content copies size bytes: by sharing, or what lies between the holes.
func (c *copier) content(ctx context.Context, to, from *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	if !c.cannot {
		err := Clone(to, from)
		if err == nil {
			return nil
		}
		c.cannot = !errors.Is(err, unix.ETXTBSY) // of one file, not of all
	}
	if err := to.Truncate(size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		data, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // only a hole is left
		}
		if err != nil {
			data = at
		}
		hole, err := unix.Seek(int(from.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			hole = size
		}
		at = min(hole, size)
		if err := copyRange(to, from, data, at-data); err != nil {
			return err
		}
	}
	return nil
}

func copyRange(to, from *os.File, at, n int64) error {
	if _, err := to.Seek(at, io.SeekStart); err != nil {
		return err
	}
	if _, err := from.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err := io.CopyN(to, from, n) // by copy_file_range(2)
	if errors.Is(err, io.EOF) {
		return nil // it was made shorter meanwhile
	}
	return err
}

// dress gives to the owner, attributes, mode and times of from. The order
// matters: a change of the owner takes capabilities and setuid away.
func dress(to, from *os.File, st *Stat) error {
	if err := Chown(to, "", st.UID, st.GID); err != nil {
		return err
	}
	names, err := Xattrs(from)
	if err != nil {
		return err
	}
	for _, name := range slices.DeleteFunc(names, func(n string) bool { return !Portable(n) }) {
		value, err := Xattr(from, name)
		if err != nil {
			return err
		}
		if err := SetXattr(to, name, value); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if err := Chmod(to, st.Mode); err != nil {
		return err
	}
	return SetTimes(to, "", st.Accessed, st.Modified)
}
