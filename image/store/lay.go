package store

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	ctdfs "github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
)

const (
	whiteout       = ".wh."
	opaqueWhiteout = ".wh..wh..opq"
	opaqueXattr    = "trusted.overlay.opaque"
	xattrRecord    = "SCHILY.xattr."
)

// laying writes a layer into the directory of a snapshot, in overlayfs's form, as
// containerd's archive package does; that one walks the whole path of each entry
// several times. The snapshot is nobody else's, so what is found there stays as it
// is; only links in it are strangers', and are followed inside the root alone.
type laying struct {
	root    *os.File
	parents []string // directories of the snapshots below, topmost first
	filter  func(*tar.Header) (bool, error)
	buf     []byte
	times   []dirTime
	implied map[string]bool // directories that the layer has no entry for, yet

	dir     *os.File // of the last entry, which is most often that of the next
	dirPath string
}

// dirTime is for a directory once nothing is made in it any more.
type dirTime struct {
	path               string
	accessed, modified time.Time
}

// lay writes the entries of a tar. It returns the directories that had to be made
// without an entry; those that a parent has are as there.
func lay(ctx context.Context, dir string, parents []string, r io.Reader, filter func(*tar.Header) (bool, error)) (implied []string, err error) {
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	l := &laying{root: root, parents: parents, filter: filter, buf: make([]byte, 128<<10), implied: map[string]bool{}}
	defer l.leave()
	for t := tar.NewReader(r); ; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return slices.Collect(maps.Keys(l.implied)), l.settle()
		}
		if err != nil {
			return nil, err
		}
		if err := l.entry(h, t); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func (l *laying) entry(h *tar.Header, r io.Reader) error {
	if ok, err := l.filter(h); err != nil || !ok {
		return err
	}
	name := path.Join("/", h.Name)
	if name == "/" {
		return nil
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	dir, base := path.Split(name)
	if err := l.enter(path.Clean(dir)); err != nil {
		return err
	}
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		return l.hide(h, base, hidden)
	}
	if h.Typeflag == tar.TypeReg {
		return l.regular(h, base, r)
	}
	err := l.make(h, name, base)
	if errors.Is(err, fs.ErrExist) {
		var merge bool
		if merge, err = l.clear(h, base); err == nil && !merge {
			err = l.make(h, name, base)
		}
	}
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		delete(l.implied, name)
		l.times = append(l.times, dirTime{name, accessed(h), modified(h)})
	}
	return l.dress(h, base)
}

// enter opens the directory that an entry is in. It is made with those above if it
// is missing.
func (l *laying) enter(dir string) error {
	if l.dir != nil && l.dirPath == dir {
		return nil
	}
	l.leave()
	f, err := l.open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = l.imply(dir)
	}
	if err != nil {
		return err
	}
	l.dir, l.dirPath = f, dir
	return nil
}

func (l *laying) open(dir string) (*os.File, error) {
	return mount.OpenInRoot(l.root, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

func (l *laying) leave() {
	if l.dir != nil {
		l.dir.Close()
		l.dir = nil
	}
}

// imply makes a directory that the layer has no entry for, yet or at all. It may be
// where a link leads whose target is in a layer below.
func (l *laying) imply(dir string) (*os.File, error) {
	full, err := ctdfs.RootPath(l.root.Name(), dir)
	if err != nil {
		return nil, err
	}
	at, err := l.open("/")
	if err != nil {
		return nil, err
	}
	full = strings.TrimPrefix(full, l.root.Name())
	for from := 1; from < len(full); {
		to := from + strings.IndexByte(full[from:], '/')
		if to < from {
			to = len(full)
		}
		next, err := l.below(at, full[from:to], full[:to])
		from = to + 1
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// below opens a directory in another one, and makes it if it is missing.
func (l *laying) below(at *os.File, name, dir string) (*os.File, error) {
	err := unix.Mkdirat(int(at.Fd()), name, 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	f, openErr := file.OpenDir(at, name)
	if openErr != nil || err != nil {
		return f, openErr
	}
	l.implied[dir] = true
	if err := errors.Join(unix.Fchmod(int(f.Fd()), 0o755), likeParents(f, dir, l.parents)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// likeParents gives a directory owner, mode, times and attributes of that which is
// there in the topmost of parents that has it.
func likeParents(f *os.File, dir string, parents []string) error {
	for _, p := range parents {
		root, err := os.Open(p)
		if err != nil {
			return err
		}
		below, err := mount.OpenInRoot(root, dir, unix.O_RDONLY, 0)
		root.Close()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil // something else, which is replaced
		}
		if err != nil {
			return err
		}
		defer below.Close()
		return like(f, below)
	}
	return nil
}

func like(f, other *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(other.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	fd := int(f.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	names, err := file.Xattrs(other)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.") {
			continue
		}
		value, err := file.Xattr(other, name)
		if err == nil {
			err = file.SetXattr(f, name, value)
		}
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, file.Path(f), []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// hide makes what an entry says that is not to be seen of the layers below.
func (l *laying) hide(h *tar.Header, base, hidden string) error {
	fd := int(l.dir.Fd())
	if base == opaqueWhiteout {
		return unix.Fsetxattr(fd, opaqueXattr, []byte{'y'}, 0)
	}
	if hidden == "" || hidden == "." || hidden == ".." {
		return fmt.Errorf("invalid whiteout name %q: %w", base, errdefs.ErrInvalidArgument)
	}
	if err := unix.Mknodat(fd, hidden, unix.S_IFCHR, 0); err != nil {
		return err
	}
	return unix.Fchownat(fd, hidden, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW)
}

// clear removes what has the name of an entry. merge: it is a directory, and so is
// the entry.
func (l *laying) clear(h *tar.Header, base string) (merge bool, err error) {
	old, err := file.StatAt(l.dir, base)
	if err != nil {
		return false, err
	}
	if old.IsDir() && h.Typeflag == tar.TypeDir {
		return true, nil
	}
	return false, file.Remove(l.dir, base)
}

// regular writes a file.
func (l *laying) regular(h *tar.Header, base string, r io.Reader) (err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	mode := permissions(h)
	fd, err := unix.Openat(int(l.dir.Fd()), base, flags, mode&0o777)
	if errors.Is(err, unix.EEXIST) {
		if _, err = l.clear(h, base); err == nil {
			fd, err = unix.Openat(int(l.dir.Fd()), base, flags, mode&0o777)
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	for done := int64(0); done < h.Size; {
		n, err := r.Read(l.buf)
		for b := l.buf[:n]; len(b) > 0; {
			w, err := unix.Write(fd, b)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return err
			}
			b = b[w:]
		}
		done += int64(n)
		if errors.Is(err, io.EOF) && done < h.Size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && done < h.Size {
			return err
		}
	}
	// Most files are as they are to be already.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	chowned := int(st.Uid) != h.Uid || int(st.Gid) != h.Gid
	if chowned {
		if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
			return owner(h, err)
		}
	}
	err = xattrs(h, func(name, value string) error { return unix.Fsetxattr(fd, name, []byte(value), 0) })
	if err != nil {
		return err
	}
	if chowned || st.Mode&0o7777 != mode {
		if err := unix.Fchmod(fd, mode); err != nil {
			return err
		}
	}
	return setTimes(fd, "", h)
}

// make makes all that is not a regular file.
func (l *laying) make(h *tar.Header, name, base string) error {
	fd := int(l.dir.Fd())
	switch h.Typeflag {
	case tar.TypeDir:
		return unix.Mkdirat(fd, base, permissions(h)&0o777)
	case tar.TypeSymlink:
		return unix.Symlinkat(h.Linkname, fd, base)
	case tar.TypeLink:
		return l.link(h, base)
	case tar.TypeBlock, tar.TypeChar, tar.TypeFifo:
		if h.Devmajor < 0 || h.Devmajor > math.MaxUint32 || h.Devminor < 0 || h.Devminor > math.MaxUint32 {
			return fmt.Errorf("device number %d:%d is out of range: %w", h.Devmajor, h.Devminor, errdefs.ErrInvalidArgument)
		}
		kind := map[byte]uint32{tar.TypeBlock: unix.S_IFBLK, tar.TypeChar: unix.S_IFCHR, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
		return unix.Mknodat(fd, base, kind|permissions(h)&0o777, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))) //nolint:gosec // in range
	}
	return fmt.Errorf("entries of type %q are not supported: %w", h.Typeflag, errdefs.ErrInvalidArgument)
}

// link gives a file of the layer a second name.
func (l *laying) link(h *tar.Header, base string) error {
	dir, target := path.Split(path.Join("/", h.Linkname))
	from, err := l.open(dir)
	if err != nil {
		return err
	}
	defer from.Close()
	return unix.Linkat(int(from.Fd()), target, int(l.dir.Fd()), base, 0)
}

// dress gives what has a name owner, attributes, mode and times of a header. The
// order matters: a change of the owner takes capabilities and setuid away.
func (l *laying) dress(h *tar.Header, base string) error {
	fd := int(l.dir.Fd())
	if err := unix.Fchownat(fd, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return owner(h, err)
	}
	st, err := file.StatAt(l.dir, base)
	if err != nil {
		return err
	}
	plain := st.IsDir() || st.Mode.IsRegular()
	err = xattrs(h, func(name, value string) error {
		err := unix.Lsetxattr(file.Path(l.dir)+"/"+base, name, []byte(value), 0)
		if errors.Is(err, unix.EPERM) && strings.HasPrefix(name, "user.") && !plain {
			return nil // only files and directories can have these
		}
		return err
	})
	if err != nil {
		return err
	}
	if st.Mode&fs.ModeSymlink == 0 {
		if err := unix.Fchmodat(fd, base, permissions(h), 0); err != nil {
			return err
		}
	}
	if st.IsDir() { // its times come when nothing more is made in it
		return nil
	}
	return setTimes(fd, base, h)
}

// settle sets the times of directories.
func (l *laying) settle() error {
	for _, d := range l.times {
		f, err := mount.OpenInRoot(l.root, d.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue // a later entry is in its place
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
	return nil
}

func permissions(h *tar.Header) uint32 { return uint32(h.Mode) & 0o7777 } //nolint:gosec // masked

func owner(h *tar.Header, err error) error {
	return fmt.Errorf("owner %d:%d: %w", h.Uid, h.Gid, err)
}

// xattrs sets the extended attributes of an entry: not those that are the
// administrator's, and none that the file system does not know.
func xattrs(h *tar.Header, set func(name, value string) error) error {
	for record, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(record, xattrRecord)
		if !ok || strings.HasPrefix(name, "trusted.") {
			continue
		}
		if err := set(name, value); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

// setTimes sets the times of a file, or of what has a name in a directory.
func setTimes(fd int, name string, h *tar.Header) error {
	ts := []unix.Timespec{unix.NsecToTimespec(accessed(h).UnixNano()), unix.NsecToTimespec(modified(h).UnixNano())}
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	return unix.UtimesNanoAt(fd, name, ts, flags)
}

// modified is the time of an entry, if a file can have that.
func modified(h *tar.Header) time.Time { return bounded(h.ModTime) }

// accessed is the time of access that an entry gets, as Docker chooses it.
func accessed(h *tar.Header) time.Time {
	if h.AccessTime.After(h.ModTime) {
		return bounded(h.AccessTime)
	}
	return bounded(h.ModTime)
}

func bounded(t time.Time) time.Time {
	first, last := time.Unix(0, 0), time.Unix(0, math.MaxInt64)
	if t.Before(first) || t.After(last) {
		return first
	}
	return t
}
