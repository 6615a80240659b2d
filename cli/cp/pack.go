package cp

import (
	"archive/tar"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// PackOptions say how local files become a stream.
type PackOptions struct {
	// Rename maps the names of entries. Nil: they stay.
	Rename func(string) string
	// KeepOwner stores the files' owners; otherwise root's.
	KeepOwner bool
}

// Pack writes the files of src to w as a tar stream. Sockets are left out.
func Pack(w io.Writer, src Info, o PackOptions) error {
	p := &packer{tar: tar.NewWriter(w), o: o, linked: map[any]string{}}
	_, base := Split(src.Path)
	if src.Rename != "" {
		base = src.Rename
	}
	err := filepath.WalkDir(src.Path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := base
		if rel, err := filepath.Rel(src.Path, path); err != nil {
			return err
		} else if rel != "." {
			name = strings.TrimSuffix(base, "/") + "/" + rel
		}
		return p.entry(path, name)
	})
	if err != nil {
		return err
	}
	return p.tar.Close()
}

type packer struct {
	tar    *tar.Writer
	o      PackOptions
	linked map[any]string // files with several names, by what they are
}

func (p *packer) entry(path, name string) error {
	if p.o.Rename != nil {
		name = p.o.Rename(name)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	var target string
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(nameless{info}, target)
	if err != nil {
		return err
	}
	h.Name, h.Format, h.ModTime = name, tar.FormatPAX, h.ModTime.Truncate(time.Second)
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	if info.IsDir() {
		h.Name = strings.TrimSuffix(name, "/") + "/"
	}
	if !p.o.KeepOwner {
		h.Uid, h.Gid = 0, 0
	}
	if id := identity(info); id != nil && !info.IsDir() {
		if first, ok := p.linked[id]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		} else {
			p.linked[id] = h.Name
		}
	}
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(p.tar, f, h.Size)
	return err
}

// nameless keeps tar from looking up the names of owners, which mean nothing
// in a container.
type nameless struct{ fs.FileInfo }

func (nameless) Uname() (string, error) { return "", nil }
func (nameless) Gname() (string, error) { return "", nil }
