package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/file"
)

// Marks of a layer (image-spec, layer.md, "Whiteouts").
const (
	whiteout = ".wh."         // before the name of what is gone
	opaque   = ".wh..wh..opq" // in a directory whose older content is gone
)

// Layer writes what a container has changed as the tar of an image layer and
// tells how many entries that has: none means that nothing was changed. The
// arguments are those of Changes. All that overlayfs has copied up is written,
// also where it looks as before: a file may be rewritten and get its old time
// back. Directories come along as far as something in them, or they themselves,
// have changed. What the engine made to mount on is left out.
//
// Names that begin with ".wh." mean something else in a layer, and redirects
// and bare metadata of overlayfs have no meaning in one: both are
// errdefs.InvalidArgument. ids is as in PackOptions.
func Layer(ctx context.Context, w io.Writer, upper, lower *os.File, ids func(uid, gid int) (int, int)) (entries int, err error) {
	l := &layer{packer: newPacker(w, PackOptions{Exact: true, IDs: ids})}
	if err := l.children(ctx, upper, lower, ""); err != nil {
		return l.entries, fmt.Errorf("/%s: %w", l.at, err)
	}
	return l.entries, l.tar.Close()
}

// WholeLayer is Layer for the lowest layer: all that is in dir.
func WholeLayer(ctx context.Context, w io.Writer, dir *os.File) (entries int, err error) {
	l := &layer{packer: newPacker(w, PackOptions{Exact: true}), whole: true}
	if err := l.children(ctx, dir, nil, ""); err != nil {
		return l.entries, fmt.Errorf("/%s: %w", l.at, err)
	}
	return l.entries, l.tar.Close()
}

type layer struct {
	*packer
	entries int
	whole   bool      // what the engine makes is not left out
	at      string    // what was looked at last, for errors
	pending []pending // directories on the way down that are not written yet
}

// pending is a directory that is written before the first entry in it.
type pending struct {
	f    *os.File
	stat file.Stat
	name string
}

func (l *layer) children(ctx context.Context, upper, lower *os.File, prefix string) error {
	names, err := upper.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := l.child(ctx, upper, lower, name, prefix+name); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) child(ctx context.Context, upper, lower *os.File, name, path string) error {
	l.at = path
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
	if strings.HasPrefix(name, whiteout) {
		return errdefs.ErrInvalidArgument.WithMessage("an image layer cannot hold a name that begins with " + whiteout)
	}
	made := !l.whole && old == nil && slices.Contains(engineMade, "/"+path)
	switch {
	case st.IsWhiteout():
		if old == nil {
			return nil
		}
		return l.mark(ctx, path[:len(path)-len(name)]+whiteout+name)
	case st.IsDir():
		return l.dir(ctx, f, old, &st, &oldStat, path, made)
	case made && st.Size == 0, st.Mode&fs.ModeSocket != 0:
		return nil
	}
	if st.Mode.IsRegular() {
		if err := plain(f, "trusted.overlay.metacopy"); err != nil {
			return err
		}
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	l.entries++
	return l.entry(ctx, f, &st, path)
}

// dir writes a directory that changed at once, and one that did not when
// something below is written.
func (l *layer) dir(ctx context.Context, f, old *os.File, st, oldStat *file.Stat, path string, made bool) error {
	if err := plain(f, "trusted.overlay.redirect"); err != nil {
		return err
	}
	hides, err := file.Xattr(f, "trusted.overlay.opaque")
	if err != nil {
		return err
	}
	changed := old == nil || !oldStat.IsDir()
	if !changed {
		if changed, err = l.differs(f, old, st, oldStat); err != nil {
			return err
		}
	}
	l.pending = append(l.pending, pending{f, *st, path})
	depth := len(l.pending)
	if changed && !made || hides == "y" && old != nil {
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	if hides == "y" && old != nil && oldStat.IsDir() {
		if err := l.mark(ctx, path+"/"+opaque); err != nil {
			return err
		}
	}
	if err := l.below(ctx, f, old, oldStat, path); err != nil {
		return err
	}
	if len(l.pending) == depth {
		l.pending = l.pending[:depth-1] // nothing in it was written, and so it is not
	}
	return nil
}

// differs tells whether a directory's own attributes changed.
func (l *layer) differs(f, old *os.File, st, oldStat *file.Stat) (bool, error) {
	if changed, err := differs(f, old, st, oldStat); changed || err != nil {
		return changed, err
	}
	attrs := func(f *os.File) (string, error) {
		var h tar.Header
		err := l.attributes(f, &h)
		return fmt.Sprint(h.PAXRecords), err // maps print in order
	}
	a, err := attrs(f)
	if err != nil {
		return false, err
	}
	b, err := attrs(old)
	return a != b, err
}

func (l *layer) below(ctx context.Context, f, old *os.File, oldStat *file.Stat, path string) error {
	upper, err := file.Reopen(f, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer upper.Close()
	if old == nil || !oldStat.IsDir() {
		return l.children(ctx, upper, nil, path+"/")
	}
	lower, err := file.Reopen(old, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer lower.Close()
	return l.children(ctx, upper, lower, path+"/")
}

// flush writes the directories that the next entry is in.
func (l *layer) flush(ctx context.Context) error {
	list := l.pending
	l.pending = nil
	for _, p := range list {
		h, err := l.header(p.f, &p.stat, p.name)
		if err != nil {
			return err
		}
		if err := l.attributes(p.f, h); err != nil {
			return err
		}
		if err := l.tar.WriteHeader(h); err != nil {
			return err
		}
		l.entries++
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// mark writes an empty file that means something is gone.
func (l *layer) mark(ctx context.Context, name string) error {
	if err := l.flush(ctx); err != nil {
		return err
	}
	l.entries++
	return l.tar.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Format: tar.FormatPAX})
}

// plain refuses what overlayfs itself has to complete. Mounts of Berth switch
// such features off; a data-root may come from elsewhere.
func plain(f *os.File, attribute string) error {
	value, err := file.Xattr(f, attribute)
	if err == nil && value != "" {
		err = errdefs.ErrInvalidArgument.WithMessage("written with the attribute " + attribute + " of overlayfs, which an image layer cannot hold")
	}
	return err
}
