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
	"slices"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
)

// Limits of what is packed.
const (
	maxPath   = 4095    // bytes of a name in the stream, and so of the depth
	maxLinked = 1 << 20 // files with several names that are remembered
	batch     = 1 << 14 // names that are sorted at once
)

// PackOptions say how a stream is written. The zero value is what copies
// between a container and a client want.
type PackOptions struct {
	// Exact keeps times to the nanosecond, and the extended attributes that may
	// be set again: for moving data, not for showing it to clients that fail on
	// attributes they cannot set.
	Exact bool
	// Self makes PackAll begin with an entry "./" for the directory itself, and
	// name the others after it.
	Self bool
	// IDs turns owners of files into those of the stream. Nil: they are the same.
	IDs func(uid, gid int) (int, int)
}

// Pack writes path in root to w as a tar stream. Its entries are named after
// the last element of path: "x" for "/a/x", "." for "/a/x/.", nothing for "/".
// Links are stored, not followed. Sockets are left out, and so is what file
// systems of the kernel show, and /dev.
func Pack(ctx context.Context, w io.Writer, root *os.File, p string, o PackOptions) error {
	p = Clean(p)
	f, st, err := open(root, p)
	if err != nil {
		return err
	}
	defer f.Close()
	base := path.Base(p)
	if base == "/" {
		base = ""
	}
	k := newPacker(w, o)
	if k.dev, err = ownMount(root, f); err != nil {
		return err
	}
	if err := k.entry(ctx, f, &st, base); err != nil {
		return err
	}
	return k.tar.Close()
}

// ownMount names the mount on /dev, if it is one of its own and start is not
// in it: a container's /dev is made by the engine.
func ownMount(root, start *os.File) (uint64, error) {
	dev, err := mount.OpenInRoot(root, "/dev", openPath|openNoFollow, 0)
	if err != nil {
		return 0, nil
	}
	defer dev.Close()
	var ids [3]uint64
	for i, f := range []*os.File{dev, root, start} {
		if ids[i], err = file.MountID(f); err != nil {
			return 0, err
		}
	}
	if ids[0] == ids[1] || ids[0] == ids[2] {
		return 0, nil
	}
	return ids[0], nil
}

// PackAll writes all that is in the directory dir, without an entry for dir
// itself: "etc/passwd".
func PackAll(ctx context.Context, w io.Writer, dir *os.File, o PackOptions) error {
	k := newPacker(w, o)
	var err error
	if o.Self {
		var st file.Stat
		if st, err = file.StatAt(dir, ""); err == nil {
			err = k.entry(ctx, dir, &st, ".")
		}
	} else {
		err = k.children(ctx, dir, "")
	}
	if err != nil {
		return err
	}
	return k.tar.Close()
}

type packer struct {
	tar    *tar.Writer
	o      PackOptions
	buf    []byte
	linked map[object]*names
	dev    uint64 // the mount whose entries are left out; 0: none
}

// object names a file on this host.
type object struct{ device, inode uint64 }

// names is the name under which a file with several names was stored first,
// and how many of them are still to come.
type names struct {
	first string
	left  uint64
}

func newPacker(w io.Writer, o PackOptions) *packer {
	return &packer{tar: tar.NewWriter(w), o: o, buf: make([]byte, 64<<10), linked: map[object]*names{}}
}

// entry stores what the handle f refers to, with all below it.
func (k *packer) entry(ctx context.Context, f *os.File, st *file.Stat, name string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if len(name) > maxPath {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the path %.80q… is longer than %d bytes", name, maxPath))
	}
	h, err := k.header(f, st, name)
	if h == nil || err != nil {
		return err
	}
	if first := k.seen(st, name); first != "" {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		return k.tar.WriteHeader(h)
	}
	if err := k.attributes(f, h); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return k.regular(ctx, f, h)
	case tar.TypeDir:
		if err := k.tar.WriteHeader(h); err != nil {
			return err
		}
		dir, err := file.Reopen(f, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer dir.Close()
		return k.children(ctx, dir, h.Name)
	}
	return k.tar.WriteHeader(h)
}

// header describes an entry; it is nil for a socket, which means nothing
// without its process.
func (k *packer) header(f *os.File, st *file.Stat, name string) (*tar.Header, error) {
	uid, gid := st.UID, st.GID
	if k.o.IDs != nil {
		uid, gid = k.o.IDs(uid, gid)
	}
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode.Perm()) | special(st.Mode), Uid: uid, Gid: gid,
		ModTime: st.Modified, Format: tar.FormatPAX,
	}
	if !k.o.Exact {
		h.ModTime = st.Modified.Truncate(time.Second)
	}
	var err error
	switch st.Mode.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
		h.Linkname, err = file.Readlink(f, "")
	case fs.ModeNamedPipe:
		h.Typeflag = tar.TypeFifo
	case fs.ModeDevice:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeBlock, int64(st.Major), int64(st.Minor)
	case fs.ModeDevice | fs.ModeCharDevice:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(st.Major), int64(st.Minor)
	case 0:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	default:
		return nil, nil
	}
	return h, err
}

func special(m fs.FileMode) (bits int64) {
	for flag, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

// seen returns the name under which the file was stored already, if it was.
func (k *packer) seen(st *file.Stat, name string) string {
	if st.IsDir() || st.Links < 2 {
		return ""
	}
	id := object{st.Device, st.Inode}
	if n := k.linked[id]; n != nil {
		if n.left--; n.left == 0 {
			delete(k.linked, id)
		}
		return n.first
	}
	if len(k.linked) < maxLinked { // beyond, a file is stored twice
		k.linked[id] = &names{name, st.Links - 1}
	}
	return ""
}

func (k *packer) attributes(f *os.File, h *tar.Header) error {
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	all := []string{file.Capability}
	if k.o.Exact {
		var err error
		if all, err = file.Xattrs(f); err != nil {
			return err
		}
	}
	for _, name := range all {
		if !file.Portable(name) {
			continue
		}
		value, err := file.Xattr(f, name)
		if err != nil {
			return err
		}
		if value == "" {
			continue
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[paxXattr+name] = value
	}
	return nil
}

// regular stores a regular file as long as it was when it was looked at.
func (k *packer) regular(ctx context.Context, f *os.File, h *tar.Header) error {
	src, err := file.Reopen(f, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := k.tar.WriteHeader(h); err != nil {
		return err
	}
	for left := h.Size; left > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := src.Read(k.buf[:min(left, int64(len(k.buf)))])
		if n > 0 {
			if _, err := k.tar.Write(k.buf[:n]); err != nil {
				return err
			}
			left -= int64(n)
		}
		if errors.Is(err, io.EOF) && left > 0 {
			return fmt.Errorf("%s became shorter while it was read", h.Name)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// children stores what is in dir, under names that begin with prefix. What goes
// away meanwhile is left out.
func (k *packer) children(ctx context.Context, dir *os.File, prefix string) error {
	skip, err := k.foreign(dir)
	if err != nil || skip {
		return err
	}
	for {
		entries, err := dir.Readdirnames(batch)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		slices.Sort(entries)
		for _, e := range entries {
			if err := k.child(ctx, dir, e, prefix+e); err != nil {
				return err
			}
		}
	}
}

func (k *packer) child(ctx context.Context, dir *os.File, name, stored string) error {
	f, err := file.Handle(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := file.StatAt(f, "")
	if err != nil {
		return err
	}
	return k.entry(ctx, f, &st, stored)
}

// foreign tells whether what dir shows is the kernel's or the engine's.
func (k *packer) foreign(dir *os.File) (bool, error) {
	if k.dev != 0 {
		if id, err := file.MountID(dir); err != nil || id == k.dev {
			return err == nil, err
		}
	}
	return file.IsKernels(dir)
}
