package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
)

// openDirectory is O_DIRECTORY.
const openDirectory = 0x10000

func (u *unpacker) regular(ctx context.Context, parent *os.File, base string, h *tar.Header, r io.Reader, inPlace bool) (err error) {
	var f *os.File
	if inPlace {
		f, err = file.OpenRegular(parent, base, true)
	} else {
		f, err = file.Create(parent, base)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := u.fill(ctx, f, h, r); err != nil {
		return err
	}
	if err := u.dress(f, h); err != nil {
		return err
	}
	return file.SetTimes(f, "", accessed(h), h.ModTime)
}

// zeros is compared with what is read.
var zeros [64 << 10]byte

// fill writes the content of an entry. Zeros become holes: a sparse entry of a
// small stream may be as long as a file system allows.
func (u *unpacker) fill(ctx context.Context, f *os.File, h *tar.Header, r io.Reader) error {
	// Whether it can be so long is asked before reading; until all has been read
	// it is only as long as what was.
	if err := errors.Join(f.Truncate(h.Size), f.Truncate(0)); err != nil {
		return err
	}
	var at int64
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(r, u.buf)
		if n > 0 && !bytes.Equal(u.buf[:n], zeros[:n]) {
			if _, err := f.WriteAt(u.buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && at == h.Size:
			return f.Truncate(at)
		case err != nil:
			return broken(err)
		}
	}
}

func (u *unpacker) directory(parent *os.File, base, full string, h *tar.Header, merge bool) error {
	if !merge {
		if err := file.Mkdir(parent, base); err != nil {
			return err
		}
	}
	f, err := file.OpenDir(parent, base)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := refuseKernels(f, full); err != nil {
		return err
	}
	if err := u.dress(f, h); err != nil {
		return err
	}
	u.dirs = append(u.dirs, times{full, accessed(h), h.ModTime})
	if len(u.dirs) >= maxDirs {
		return u.settleTimes()
	}
	return nil
}

func (u *unpacker) symlink(parent *os.File, base string, h *tar.Header) error {
	if err := file.Symlink(parent, h.Linkname, base); err != nil {
		return err
	}
	uid, gid := u.owner(h)
	if err := file.Chown(parent, base, uid, gid); err != nil {
		return err
	}
	return file.SetTimes(parent, base, accessed(h), h.ModTime)
}

// link gives a file of the stream a second name. Its owner, mode and times are
// those of the first.
func (u *unpacker) link(parent *os.File, base string, h *tar.Header) error {
	name, ok := inside(h.Linkname)
	if !ok || name == "." {
		return breakout("invalid hardlink target %q", h.Linkname)
	}
	handle, err := u.linkTarget(path.Join(u.dir, name))
	if err != nil {
		return err
	}
	defer handle.Close()
	return file.Link(handle, parent, base)
}

func (u *unpacker) linkTarget(target string) (*os.File, error) {
	dir, err := mount.OpenInRoot(u.root, path.Dir(target), openPath|openDirectory, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := refuseKernels(dir, target); err != nil {
		return nil, err
	}
	return file.Handle(dir, path.Base(target))
}

func (u *unpacker) node(parent *os.File, base string, h *tar.Header) error {
	m := h.FileInfo().Mode()
	major, minor := uint32(h.Devmajor), uint32(h.Devminor)
	if m&fs.ModeNamedPipe != 0 {
		major, minor = 0, 0
	} else if major == 0 && minor == 0 {
		return breakout("%q: a device 0:0 would hide what is below it", h.Name)
	}
	if err := file.Mknod(parent, base, m, major, minor); err != nil {
		return err
	}
	f, err := file.Handle(parent, base)
	if err != nil {
		return err
	}
	defer f.Close()
	// Somebody in the container may have been quick.
	st, err := file.StatAt(f, "")
	if err == nil && (st.Mode.Type() != m.Type() || st.Major != major || st.Minor != minor || st.Links != 1) {
		err = errdefs.ErrConflict.WithMessage(h.Name + " was replaced while it was made")
	}
	if err != nil {
		return err
	}
	if err := u.dress(f, h); err != nil {
		return err
	}
	return file.SetTimes(f, "", accessed(h), h.ModTime)
}
