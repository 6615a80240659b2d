package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/snapshot"
)

// repositories is a cache that has one snapshot, of a repository, and notes what
// becomes of it.
type repositories struct {
	cache.Accessor
	ref *repository
}

func (r repositories) GetMutable(context.Context, string, ...cache.RefOption) (cache.MutableRef, error) {
	return r.ref, nil
}

func (r repositories) New(context.Context, cache.ImmutableRef, session.Group, ...cache.RefOption) (cache.MutableRef, error) {
	return r.ref, nil
}

type repository struct {
	cache.MutableRef
	dir                          string
	dropped, released, committed bool
}

func (r *repository) Mount(context.Context, bool, session.Group) (snapshot.Mountable, error) {
	return directory{nil, r.dir}, nil
}
func (r *repository) SetCachePolicyDefault() error { r.dropped = true; return nil }
func (r *repository) Release(context.Context) error {
	r.released = true
	return nil
}

func (r *repository) Commit(context.Context) (cache.ImmutableRef, error) {
	r.committed = true
	return nil, nil
}

type directory struct {
	snapshot.Mountable
	path string
}

func (d directory) Mount() ([]mount.Mount, func() error, error) {
	return []mount.Mount{{Type: "bind", Source: d.path}}, func() error { return nil }, nil
}

// TestClonesAreBounded: work on a repository ends when that has grown too much or not
// at all, and what it has made is not used then.
func TestClonesAreBounded(t *testing.T) {
	const most = 1000
	write := func(dir string, n int) error {
		return os.WriteFile(filepath.Join(dir, "objects", "pack", "some"), make([]byte, n), 0o600)
	}
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("git was ended")
	}
	for name, c := range map[string]struct {
		patience time.Duration
		work     func(ctx context.Context, dir string) error
		is       func(error) bool
		want     string
	}{
		"as much as may be": {time.Minute, func(_ context.Context, dir string) error { return write(dir, most) }, nil, ""},
		"at the end":        {time.Minute, func(_ context.Context, dir string) error { return write(dir, most+1) }, errdefs.IsInvalidArgument, "clone https://xxxxx:xxxxx@host/r.git: it has more than 1000B"},
		"while it runs": {time.Minute, func(ctx context.Context, dir string) error { return errors.Join(write(dir, most+1), hang(ctx)) },
			errdefs.IsInvalidArgument, "it has more than 1000B"},
		"silent": {50 * time.Millisecond, func(ctx context.Context, _ string) error { return hang(ctx) }, errdefs.IsUnavailable, "nothing has come for 50ms"},
		"an error of git": {time.Minute, func(context.Context, string) error { return errors.New("no such branch") },
			func(err error) bool { return err.Error() == "no such branch" }, "no such branch"},
	} {
		ref := &repository{dir: t.TempDir()}
		pack := filepath.Join(ref.dir, "objects", "pack")
		if err := errors.Join(os.MkdirAll(pack, 0o700), os.WriteFile(filepath.Join(ref.dir, "before"), make([]byte, 5*most), 0o600),
			os.WriteFile(filepath.Join(pack, "tmp_pack_x"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		g := growing{repositories{ref: ref}}
		err := cloning{bound: bound{most, c.patience}, look: time.Millisecond}.watched(t.Context(), "https://x:secret@host/r.git", func(ctx context.Context) error {
			r, err := g.GetMutable(ctx, "x")
			if err != nil {
				return err
			}
			defer func() { _ = r.Release(ctx) }()
			m, err := r.Mount(ctx, false, nil)
			if err != nil {
				return err
			}
			if _, _, err := m.Mount(); err != nil {
				return err
			}
			if err := c.work(ctx, ref.dir); err != nil {
				return err
			}
			_, err = r.Commit(ctx)
			return err
		})
		if c.is == nil {
			if err != nil || !ref.committed || ref.dropped {
				t.Errorf("%s: %v, %+v", name, err, ref)
			}
			continue
		}
		over := name != "an error of git"
		if err == nil || !c.is(err) || !strings.Contains(err.Error(), c.want) || ref.committed || !ref.released || ref.dropped != over {
			t.Errorf("%s: %v, %+v", name, err, ref)
		}
		if _, err := os.Stat(filepath.Join(pack, "tmp_pack_x")); err == nil {
			t.Errorf("%s: what git left is there", name)
		}
	}
}
