package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/oci"
)

// UnpackOptions say how a stream is unpacked.
type UnpackOptions struct {
	// NoOverwriteDirNonDir: a directory does not replace anything else, and
	// nothing else replaces a directory. Without it, an entry replaces what has
	// its name; directories are merged in either case.
	NoOverwriteDirNonDir bool
	// Owner of all that is made, instead of the entries' own. Nil: theirs.
	Owner *Owner
	// IDs turns owners of the stream, and Owner, into those that files get. Nil:
	// they are the same.
	IDs func(uid, gid int) (int, int)
	// Self: an entry "./" gives the directory itself its owner and mode.
	// Without it, the directory is the caller's.
	Self bool
}

// Owner is a user and a group as the host numbers them.
type Owner struct{ UID, GID int }

// maxDirs bounds how many directories wait for their times to be set.
const maxDirs = 4096

// Unpack unpacks the stream r into the directory dir of root, which must
// exist. r may be compressed with gzip, bzip2, xz or zstd. Links that are in
// the way of an entry, but not its last element, are followed inside root. The
// entries unpacked before an error stay.
func Unpack(ctx context.Context, root *os.File, dir string, r io.Reader, o UnpackOptions) error {
	plain, err := oci.Decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	u := &unpacker{root: root, dir: path.Join("/", dir), o: o, buf: make([]byte, 64<<10)}
	defer u.leave()
	t := tar.NewReader(plain)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return u.settleTimes()
		}
		if err != nil {
			return broken(err)
		}
		if err := u.entry(ctx, h, t); err != nil {
			return err
		}
	}
}

// broken is an error of the stream, not of the host.
func broken(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrFieldTooLong) {
		return fmt.Errorf("read archive: %w", errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	return fmt.Errorf("read archive: %w", err)
}

type unpacker struct {
	root *os.File
	dir  string // absolute in root
	o    UnpackOptions
	buf  []byte
	dirs []times

	// The directory of the last entry, which is most often that of the next.
	// Entries that change where its path leads are in other directories.
	parent     *os.File
	parentPath string
}

// times are for a directory once nothing is made in it any more.
type times struct {
	path               string
	accessed, modified time.Time
}

// breakout says that a name leads out of the directory.
func breakout(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func (u *unpacker) entry(ctx context.Context, h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, ok := inside(h.Name)
	if !ok {
		return breakout("%q is outside of %q", h.Name, u.dir)
	}
	if name == "." {
		return u.itself(h)
	}
	full := path.Join(u.dir, name)
	parent, err := u.enter(path.Dir(full))
	if err != nil {
		return err
	}
	base := path.Base(full)
	merge, inPlace, err := u.makeRoom(parent, base, h)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.regular(ctx, parent, base, h, r, inPlace)
	case tar.TypeDir:
		return u.directory(parent, base, full, h, merge)
	case tar.TypeSymlink:
		return u.symlink(parent, base, h)
	case tar.TypeLink:
		return u.link(parent, base, h)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.node(parent, base, h)
	}
	return breakout("unhandled tar header type %d of %q", h.Typeflag, h.Name)
}

// itself is the entry for the directory that is unpacked into.
func (u *unpacker) itself(h *tar.Header) error {
	if !u.o.Self || h.Typeflag != tar.TypeDir {
		return nil
	}
	f, err := u.enter(u.dir)
	if err != nil {
		return err
	}
	u.dirs = append(u.dirs, times{u.dir, accessed(h), h.ModTime})
	return u.dress(f, h)
}

// inside cleans a name of the stream. Absolute ones begin at the directory;
// one that begins above it is refused.
func inside(name string) (string, bool) {
	name = path.Clean(strings.TrimLeft(name, "/"))
	return name, name != ".." && !strings.HasPrefix(name, "../") && !strings.ContainsRune(name, 0)
}

// enter returns a handle of a directory; it is made with those above if it is
// missing, as tar's implied directories are.
func (u *unpacker) enter(dir string) (*os.File, error) {
	if u.parent != nil && u.parentPath == dir {
		return u.parent, nil
	}
	u.leave()
	f, err := mount.OpenInRoot(u.root, dir, openPath|openDirectory, 0)
	if errors.Is(err, fs.ErrNotExist) {
		uid, gid := u.o.ids(0, 0)
		f, err = mount.MakeDir(u.root, dir, 0o755, uid, gid)
	}
	if err != nil {
		return nil, err
	}
	if err := refuseKernels(f, dir); err != nil {
		f.Close()
		return nil, err
	}
	u.parent, u.parentPath = f, dir
	return f, nil
}

func (u *unpacker) leave() {
	if u.parent != nil {
		u.parent.Close()
	}
	u.parent = nil
}

// makeRoom removes what is in the way of an entry. merge: it is a directory
// and so is the entry. inPlace: it is a file that is mounted here, which can
// only be written to.
func (u *unpacker) makeRoom(parent *os.File, base string, h *tar.Header) (merge, inPlace bool, err error) {
	old, err := file.StatAt(parent, base)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	isDir := h.Typeflag == tar.TypeDir
	switch {
	case old.IsDir() && isDir:
		return true, false, nil
	case old.IsDir() && u.o.NoOverwriteDirNonDir:
		return false, false, breakout("cannot overwrite directory %q with non-directory %q", path.Join(u.parentPath, base), u.dir)
	case isDir && u.o.NoOverwriteDirNonDir:
		return false, false, breakout("cannot overwrite non-directory %q with directory %q", path.Join(u.parentPath, base), u.dir)
	}
	err = file.Remove(parent, base)
	if file.Busy(err) && old.Mode.IsRegular() && h.Typeflag == tar.TypeReg {
		return false, true, nil
	}
	return false, false, err
}

func (u *unpacker) owner(h *tar.Header) (uid, gid int) {
	uid, gid = h.Uid, h.Gid
	if u.o.Owner != nil {
		uid, gid = u.o.Owner.UID, u.o.Owner.GID
	}
	return u.o.ids(uid, gid)
}

func (o *UnpackOptions) ids(uid, gid int) (int, int) {
	if o.IDs == nil {
		return uid, gid
	}
	return o.IDs(uid, gid)
}

// dress gives what f refers to owner, attributes and mode of a header. The
// order matters: a change of the owner takes capabilities and setuid away.
func (u *unpacker) dress(f *os.File, h *tar.Header) error {
	uid, gid := u.owner(h)
	if err := file.Chown(f, "", uid, gid); err != nil {
		return fmt.Errorf("%s: owner %d:%d: %w", h.Name, uid, gid, err)
	}
	if err := setXattrs(f, h.PAXRecords); err != nil {
		return err
	}
	return file.Chmod(f, h.FileInfo().Mode())
}

// accessed is the time of access that an entry gets, as Docker chooses it.
func accessed(h *tar.Header) time.Time {
	if h.AccessTime.After(h.ModTime) {
		return h.AccessTime
	}
	return h.ModTime
}

// settleTimes sets the times of directories.
func (u *unpacker) settleTimes() error {
	for _, d := range u.dirs {
		f, err := mount.OpenInRoot(u.root, d.path, openPath|openDirectory|openNoFollow, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a later entry or the container replaced it
		}
		if err != nil {
			return err
		}
		err = file.SetTimes(f, "", d.accessed, d.modified)
		f.Close()
		if err != nil {
			return err
		}
	}
	u.dirs = u.dirs[:0]
	return nil
}
