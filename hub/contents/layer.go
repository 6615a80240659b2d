package contents

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/berth-engine/berth/oci"
	"github.com/containerd/errdefs"
)

// File is one entry of a layer or an image.
type File struct {
	Path string // from the root, without a slash at either end
	Type byte   // a tar.Type: TypeReg, TypeDir, TypeSymlink, TypeChar, TypeBlock, TypeFifo
	Mode uint32 // permissions and the three bits above them
	UID  int
	GID  int
	Size int64    // bytes of a regular file
	Link string   // where a symbolic link points to
	Sum  [16]byte // the first half of the content's SHA-256
}

// listing is what a layer holds.
type listing struct {
	Files    []File
	Hard     []hardLink
	Removed  []string // whiteouts: paths of lower layers that are gone
	Opaque   []string // directories of which lower layers' content is gone
	Size     int64    // bytes after decompression
	Packages map[string][]Package
}

// hardLink is resolved when layers are joined: it may point below its layer.
type hardLink struct{ Path, Target string }

// Whiteouts, as the image-spec has them ("Whiteouts" in layer.md).
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// maxPath is what Linux takes at most (PATH_MAX).
const maxPath = 4096

// list reads a layer's tar, packed or not. size is that of the blob.
func (l Limits) list(ctx context.Context, blob io.Reader, size int64) (*listing, error) {
	plain, err := oci.Decompress(blob)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	meter := &metered{ctx: ctx, r: plain, limits: l, stored: size}
	out := &listing{Packages: map[string][]Package{}}
	archive := tar.NewReader(meter)
	var names int64
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			out.Size = meter.n
			return out, nil
		}
		if err != nil {
			return nil, bad(err)
		}
		names += int64(len(h.Name) + len(h.Linkname))
		if len(out.Files)+len(out.Hard)+len(out.Removed) >= l.Entries || names > l.Names {
			return nil, fmt.Errorf("layer holds more than %d files or %d bytes of names: %w", l.Entries, l.Names, errdefs.ErrResourceExhausted)
		}
		if len(h.Name) > maxPath || len(h.Linkname) > maxPath {
			return nil, fmt.Errorf("layer holds a path of more than %d bytes: %w", maxPath, errdefs.ErrInvalidArgument)
		}
		if err := out.add(ctx, h, archive); err != nil {
			return nil, bad(err)
		}
	}
}

// bad gives errors of the tar their kind; what has one keeps it.
func bad(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("layer is no tar archive: %w", errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	return fmt.Errorf("read layer: %w", err)
}

func (l *listing) add(ctx context.Context, h *tar.Header, content io.Reader) error {
	name := inside(h.Name)
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case base == opaque:
		l.Opaque = append(l.Opaque, dir)
		return nil
	case strings.HasPrefix(base, ".wh..wh."): // aufs' own
		return nil
	case strings.HasPrefix(base, whiteout):
		l.Removed = append(l.Removed, path.Join(dir, strings.TrimPrefix(base, whiteout)))
		return nil
	case name == "":
		return nil
	}
	f := File{Path: name, Type: h.Typeflag, Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid}
	switch h.Typeflag {
	case tar.TypeLink:
		l.Hard = append(l.Hard, hardLink{name, inside(h.Linkname)})
		return nil
	case tar.TypeReg, tar.TypeGNUSparse:
		f.Type, f.Size = tar.TypeReg, h.Size
		if err := l.content(ctx, &f, content); err != nil {
			return err
		}
	case tar.TypeSymlink:
		f.Link = h.Linkname
	case tar.TypeDir, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	default: // headers of extensions, which no file system gets
		return nil
	}
	l.Files = append(l.Files, f)
	return nil
}

// content sums a file up, and reads it when it is a list of packages.
func (l *listing) content(ctx context.Context, f *File, r io.Reader) error {
	sum := sha256.New()
	if parse := packageList(f.Path); parse != nil && f.Size <= maxPackageList {
		data, err := io.ReadAll(io.TeeReader(r, sum))
		if err != nil {
			return err
		}
		l.Packages[f.Path] = parse(data)
	} else if rpmDatabase(f.Path) && f.Size <= maxRPMDatabase {
		list, err := rpm(ctx, io.TeeReader(r, sum))
		if err != nil {
			return err
		}
		l.Packages[f.Path] = list
	} else if _, err := io.Copy(sum, r); err != nil {
		return err
	}
	copy(f.Sum[:], sum.Sum(nil))
	return nil
}

// inside makes a name of an archive one below the root.
func inside(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// metered ends a reading that goes beyond the limits, or whose context ended.
type metered struct {
	ctx       context.Context //nolint:containedctx // lives for one reading
	r         io.Reader
	limits    Limits
	stored, n int64
}

// ratioFrom is how many bytes may come of whatever blob: short layers of zeros
// are no attack.
const ratioFrom = 256 << 20

func (m *metered) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	if m.n > m.limits.Bytes {
		return n, fmt.Errorf("layer holds more than %d bytes: %w", m.limits.Bytes, errdefs.ErrResourceExhausted)
	}
	if m.n > ratioFrom && m.n/max(m.stored, 1) > m.limits.Ratio {
		return n, fmt.Errorf("layer grows to more than %d times its size: %w", m.limits.Ratio, errdefs.ErrResourceExhausted)
	}
	return n, err
}
