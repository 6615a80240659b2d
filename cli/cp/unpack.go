package cp

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// UnpackOptions say how a stream becomes local files.
type UnpackOptions struct {
	// Rename maps the names of entries. Nil: they stay.
	Rename func(string) string
	// KeepOwner gives files the owners in the stream, which only root can.
	// Otherwise they belong to whoever runs the program.
	KeepOwner bool
}

// Unpack unpacks a tar stream into the directory dir. Nothing outside of it is
// made or changed, whatever the stream says. Directories are merged, files
// replaced; one never replaces the other.
func Unpack(r io.Reader, dir string, o UnpackOptions) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{root: root, dir: dir, o: o}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return u.settleTimes()
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, t); err != nil {
			return err
		}
	}
}

type unpacker struct {
	root *os.Root
	dir  string
	o    UnpackOptions
	dirs []dirTime
}

// dirTime is for a directory once nothing is made in it any more. Its mode, too:
// it may forbid to add files.
type dirTime struct {
	name     string
	mode     fs.FileMode
	modified time.Time
}

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	if u.o.Rename != nil {
		h.Name = u.o.Rename(h.Name)
		if h.Typeflag == tar.TypeLink {
			h.Linkname = u.o.Rename(h.Linkname)
		}
	}
	name := path.Clean(strings.TrimLeft(h.Name, "/"))
	if name == "." {
		return nil
	}
	if name == ".." || strings.HasPrefix(name, "../") {
		return fmt.Errorf("%q is outside of %q", h.Name, u.dir)
	}
	if err := u.makeRoom(name, h); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return u.regular(name, h, r)
	case tar.TypeDir:
		return u.directory(name, h)
	case tar.TypeSymlink:
		if err := u.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		return u.own(name, h)
	case tar.TypeLink:
		return u.root.Link(path.Clean(strings.TrimLeft(h.Linkname, "/")), name)
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return fmt.Errorf("%s is a device or FIFO, which cannot be copied to here: use - as destination and unpack the archive", h.Name)
	}
	return fmt.Errorf("unhandled tar header type %d of %s", h.Typeflag, h.Name)
}

// makeRoom removes the file that an entry replaces, and makes the directories
// above it.
func (u *unpacker) makeRoom(name string, h *tar.Header) error {
	isDir := h.Typeflag == tar.TypeDir
	old, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if parent := path.Dir(name); parent != "." {
			return u.root.MkdirAll(parent, 0o755)
		}
		return nil
	case err != nil:
		return err
	case old.IsDir() && isDir:
		return nil
	case old.IsDir():
		return fmt.Errorf("cannot overwrite directory %q with non-directory %q", path.Join(u.dir, name), u.dir)
	case isDir:
		return fmt.Errorf("cannot overwrite non-directory %q with directory %q", path.Join(u.dir, name), u.dir)
	}
	return u.root.Remove(name)
}

func (u *unpacker) regular(name string, h *tar.Header, r io.Reader) (err error) {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	if u.o.KeepOwner {
		if err := f.Chown(h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if err := f.Chmod(h.FileInfo().Mode()); err != nil {
		return err
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}

func (u *unpacker) directory(name string, h *tar.Header) error {
	if err := u.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := u.own(name, h); err != nil {
		return err
	}
	u.dirs = append(u.dirs, dirTime{name, h.FileInfo().Mode(), h.ModTime})
	return nil
}

func (u *unpacker) own(name string, h *tar.Header) error {
	if !u.o.KeepOwner {
		return nil
	}
	return u.root.Lchown(name, h.Uid, h.Gid)
}

func (u *unpacker) settleTimes() error {
	for _, d := range slices.Backward(u.dirs) { // the innermost first
		if err := u.root.Chmod(d.name, d.mode); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := u.root.Chtimes(d.name, d.modified, d.modified); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
