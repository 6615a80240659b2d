package build

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	rooted "github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/worker"
	fscopy "github.com/tonistiigi/fsutil/copy"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/oci"
)

// ResolveOp is the worker's, but that archives which a step unpacks (ADD of one, a
// context that is one) are read first: BuildKit unpacks whatever is in them.
func (b *moby) ResolveOp(v solver.Vertex, s frontend.FrontendLLBBridge, sm *session.Manager, proxy worker.ProxyOpt) (solver.Op, error) {
	op, err := b.Worker.ResolveOp(v, s, sm, proxy)
	if err != nil {
		return nil, err
	}
	o, ok := v.Sys().(*pb.Op)
	if !ok || o.GetFile() == nil {
		return op, nil
	}
	var unpacked []*pb.FileAction
	for _, a := range o.GetFile().Actions {
		if a.GetCopy().GetAttemptUnpackDockerCompatibility() {
			unpacked = append(unpacked, a)
		}
	}
	if unpacked == nil {
		return op, nil
	}
	return &unpacking{op, unpacked, oci.DefaultBounds}, nil
}

// unpacking is a step that unpacks archives.
type unpacking struct {
	solver.Op
	actions []*pb.FileAction
	bounds  oci.Bounds
}

// Exec fails with InvalidArgument if an archive exceeds the bounds.
func (u *unpacking) Exec(ctx context.Context, job solver.JobContext, inputs []solver.Result) ([]solver.Result, error) {
	for _, a := range u.actions {
		from := int(a.SecondaryInput)
		if from < 0 || from >= len(inputs) {
			return nil, fmt.Errorf("a step unpacks what it has made itself: %w", errdefs.ErrNotImplemented)
		}
		ref, ok := inputs[from].Sys().(*worker.WorkerRef)
		if !ok {
			return nil, fmt.Errorf("a step has an input of the type %T: %w", inputs[from].Sys(), errdefs.ErrInternal)
		}
		if ref.ImmutableRef == nil {
			continue // scratch has no archives
		}
		mountable, err := ref.ImmutableRef.Mount(ctx, true, job.Session())
		if err != nil {
			return nil, err
		}
		mounter := snapshot.LocalMounter(mountable)
		root, err := mounter.Mount()
		if err != nil {
			return nil, err
		}
		if err = fault.Point("build.archive.mounted"); err == nil {
			err = u.check(ctx, root, a.GetCopy())
		}
		if err := errors.Join(err, mounter.Unmount()); err != nil {
			return nil, err
		}
	}
	return u.Op.Exec(ctx, job, inputs)
}

// check reads the archives below root that an action unpacks.
func (u *unpacking) check(ctx context.Context, root string, a *pb.FileActionCopy) error {
	list := []string{filepath.Join("/", a.Src)}
	if a.AllowWildcard {
		var err error
		if list, err = fscopy.ResolveWildcards(root, strings.TrimPrefix(list[0], "/"), a.FollowSymlink); err != nil {
			return err
		}
	}
	for _, name := range list {
		path, err := rooted.RootPath(root, name)
		if err != nil {
			return err
		}
		if err := bounded(ctx, path, u.bounds); err != nil {
			return fmt.Errorf("unpack %s: %w", a.Src, err)
		}
	}
	return nil
}

// bounded reads a file if it is an archive and may be one that exceeds the bounds.
func bounded(ctx context.Context, path string, bounds oci.Bounds) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // that is the step's to tell
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, err := bounds.Decompress(f)
	if errdefs.IsInvalidArgument(err) {
		return nil // no archive: it is copied as it is
	}
	if err != nil {
		return err
	}
	defer plain.Close()
	r, count := tar.NewReader(contextReader{ctx, plain}), bounds.Counter()
	for first := true; ; first = false {
		h, err := r.Next()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case h == nil && first: // no archive: it is copied as it is
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, tar.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
			return nil // its end, or the step fails at the same place
		case err != nil:
			return err
		}
		if _, err := count(h); err != nil {
			return err
		}
	}
}

// contextReader ends with the context.
type contextReader struct {
	ctx context.Context //nolint:containedctx // of the one read that it is for
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
