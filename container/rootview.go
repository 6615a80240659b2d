package container

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/mount"
)

// copier is who uses the volumes of a container while its files are copied.
const copier = "a copy of files"

// upperOf is the directory with what a container wrote.
func (s *Service) upperOf(id string) string { return filepath.Join(s.records.dir(id), upperDir) }

// openFiles makes the files of a container usable as its processes see them,
// or would see them; of one that does not run without what only a run has
// (tmpfs, /proc, /dev). The use ends with copies.end. The context ends when the
// copy is sent away.
func (s *Service) openFiles(ctx context.Context, ref string) (*entry, *copying, context.Context, error) {
	for {
		e, err := s.findLocked(ctx, ref)
		if err != nil {
			return nil, nil, nil, err
		}
		ctx, use, settled, err := s.use(ctx, e)
		e.release()
		if settled == nil {
			return e, use, ctx, err
		}
		// It has just ended: soon it is one that does not run.
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, nil, nil, context.Cause(ctx)
		}
	}
}

// use begins a use. The channel tells when to try again. The caller holds the
// lock.
func (s *Service) use(ctx context.Context, e *entry) (context.Context, *copying, <-chan struct{}, error) {
	switch r := e.record(); {
	case r.State.live() && e.live != nil:
		ns, err := e.live.box.Namespace("mnt")
		if errdefs.IsNotFound(err) && !closed(e.settled) {
			return ctx, nil, e.settled, nil
		}
		if err != nil {
			return ctx, nil, nil, err
		}
		view, err := mount.OpenView(ns)
		if err != nil {
			return ctx, nil, nil, err
		}
		ctx, use := e.copies.add(ctx, view, s.clock.now(), func() { s.report(e.id, view.Close()) })
		return ctx, use, nil, nil
	case r.State == Created || r.State == Exited || r.State == Restarting:
		view, release, err := e.copies.share(func(u *undo) (*mount.View, error) { return s.mountStill(ctx, e, u) })
		if err != nil {
			return ctx, nil, nil, err
		}
		ctx, use := e.copies.add(ctx, view, s.clock.now(), release)
		return ctx, use, nil, nil
	default:
		return ctx, nil, nil, conflict("container %s is %s: its files cannot be copied", short(e.id), r.State)
	}
}

// closed tells whether a channel that only ever closes has; so has none.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return c == nil
	}
}

// mountStill mounts the root file system of a container that does not run, with
// its binds and volumes, in a namespace of its own.
func (s *Service) mountStill(ctx context.Context, e *entry, u *undo) (*mount.View, error) {
	r := e.record()
	root, _, err := s.mountRoot(ctx, e, u)
	if err != nil {
		return nil, err
	}
	set, err := s.hostMounts(ctx, root, r, copier, u)
	if err != nil {
		return nil, err
	}
	defer set.close()
	mounts := set.specs
	if r.Run > 0 {
		mounts = append(mounts, s.lastEtc(r)...)
	}
	view, err := mount.NewView(root, func() error {
		for i := range mounts {
			m := &mounts[i]
			if m.Type == "tmpfs" {
				continue
			}
			if f := set.sources[m.Source]; f != nil {
				if err := mount.Place(root, f, m.Destination); err != nil {
					return err
				}
				continue
			}
			if err := mount.Bind(root, m.Source, m.Destination, bindFlags(m)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	u.push(func(context.Context) { s.report(e.id, view.Close()) })
	return view, nil
}

// lastEtc are the files over /etc of the last run, as far as they are the
// container's own.
func (s *Service) lastEtc(r *Record) []specs.Mount {
	return slices.DeleteFunc(s.etcMounts(r, r.ID), func(m specs.Mount) bool {
		_, err := os.Stat(m.Source)
		return err != nil
	})
}

func bindFlags(m *specs.Mount) mount.BindOptions {
	has := func(o string) bool { return slices.Contains(m.Options, o) }
	return mount.BindOptions{Recursive: has("rbind"), ReadOnly: has("ro"), RecursiveReadOnly: has("rro")}
}

// stream runs produce and gives what it writes to whoever reads. The use ends
// with it.
func (s *Service) stream(ctx context.Context, e *entry, use *copying, produce func(io.Writer) error) io.ReadCloser {
	r, w := io.Pipe()
	// A writer that nobody reads from must not outlive the use.
	stop := context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) })
	out := &packed{PipeReader: r, use: use, ended: make(chan struct{})}
	go func() {
		defer close(out.ended)
		err := produce(&moving{w: w, use: use, now: s.clock.now})
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
		_ = w.CloseWithError(err) // never fails
		stop()
		e.copies.end(use)
	}()
	return out
}

// packed is a stream that a goroutine makes; Close waits for that one.
type packed struct {
	*io.PipeReader
	use   *copying
	ended chan struct{}
}

func (p *packed) Close() error {
	p.use.cancel(nil)
	err := p.PipeReader.Close()
	<-p.ended
	return err
}

// moving notes when something was copied.
type moving struct {
	r   io.Reader
	w   io.Writer
	use *copying
	now func() time.Time
}

func (m *moving) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.use.moved.Store(m.now().UnixNano())
	return n, err
}

func (m *moving) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.use.moved.Store(m.now().UnixNano())
	return n, err
}
