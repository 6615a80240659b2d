package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/identity"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/metadata"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/oci"
)

// contexts is the folder below Root for contexts that came as a tar.
const contexts = "contexts"

// remoteSession as Remote says that the client's session has the context.
const remoteSession = "client-session"

// Build answers POST /build: it builds and tells about it until the end. progress
// is called on one goroutine at a time. The result is the ID of the image, ""
// if none was asked for. Errors: InvalidArgument or NotImplemented for what cannot
// be asked for, *StepError for a step that failed, and what BuildKit says, to classic
// clients in the words of Docker's classic builder.
func (e *Engine) Build(ctx context.Context, r *Request, progress Progress) (string, error) {
	attrs, granted, err := r.attrs(e.o.HostGateway)
	if err != nil {
		return "", err
	}
	p, err := e.open()
	if err != nil {
		return "", err
	}
	ref := identity.NewID()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if r.ID != "" {
		forget, err := e.remember(r.ID, cancel)
		if err != nil {
			return "", err
		}
		defer forget()
	}
	sessionID, done, err := e.source(ctx, p, r, attrs)
	if err != nil {
		return "", err
	}
	defer done()
	solve := &controlapi.SolveRequest{
		Ref: ref, Session: sessionID, Frontend: "dockerfile.v0", FrontendAttrs: attrs, Entitlements: granted,
		Cache: &controlapi.CacheOptions{},
	}
	for _, x := range r.exports() {
		solve.Exporters = append(solve.Exporters, &controlapi.Exporter{Type: x.Type, Attrs: x.Attrs})
	}
	askAnew()
	var result *controlapi.SolveResponse
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		result, err = p.controller.Solve(groupCtx, solve)
		return err
	})
	group.Go(func() error {
		// It ends with the solve; that one's error is the better one.
		return p.controller.Status(&controlapi.StatusRequest{Ref: ref}, &statusStream{ctx: groupCtx, send: progress.Status})
	})
	if err := group.Wait(); err != nil {
		if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
			return "", cause
		}
		if r.Trace {
			return "", err
		}
		return "", r.classicError(err, progress.Failed())
	}
	return result.ExporterResponse[exptypes.ExporterImageDigestKey], nil
}

// Progress is told how a build goes on.
type Progress interface {
	Status(*controlapi.StatusResponse) error
	// Failed is the instruction that failed, as "RUN false"; "" if none did.
	Failed() string
}

// A StepError is the failure of a step's command.
type StepError struct {
	Command string // as the Dockerfile has it
	Code    int    // its exit status
	err     error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("The command '%s' returned a non-zero code: %d", e.Command, e.Code)
}

func (e *StepError) Unwrap() error { return e.err }

// source gets the context to where the solver finds it: in a session.
func (e *Engine) source(ctx context.Context, p *parts, r *Request, attrs map[string]string) (id string, done func(), err error) {
	switch r.Remote {
	case remoteSession:
		if r.Session == "" {
			return "", nil, fmt.Errorf("a build whose context is the client's session needs the session's ID: %w", errdefs.ErrInvalidArgument)
		}
		return r.Session, func() {}, nil
	case "":
		dir, err := e.unpack(ctx, r.Context)
		if err != nil {
			return "", nil, err
		}
		id, stop, err := p.serve(ctx, dir, r.Auth)
		if err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(dir))
		}
		return id, func() {
			stop()
			_ = os.RemoveAll(dir) // the next start of the builder would
		}, nil
	}
	if err := recognized(r.Remote); err != nil {
		return "", nil, err
	}
	attrs["context"] = r.Remote
	return p.serve(ctx, "", r.Auth)
}

// recognized refuses what is no address of a context, in Docker's words: BuildKit
// would take it for a directory of the client.
func recognized(remote string) error {
	if _, _, ok := dockerui.DetectHTTPContext(remote); ok {
		return nil
	}
	if _, ok, err := dockerui.DetectGitContext(remote, nil); ok {
		return err
	}
	return fmt.Errorf("remoteURL (%s) could not be recognized as URL", remote)
}

// unpack writes the tar of a context into a directory of its own.
func (e *Engine) unpack(ctx context.Context, r io.Reader) (dir string, err error) {
	base := filepath.Join(e.o.Root, contexts)
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp(base, ""); err != nil {
		return "", err
	}
	if err := untar(ctx, dir, r, oci.DefaultBounds); err != nil {
		return "", errors.Join(fmt.Errorf("build context: %w", err), os.RemoveAll(dir))
	}
	if err := fault.Point("build.context.unpacked"); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// statusStream is the server's side of Control.Status, within the process.
type statusStream struct {
	ctx  context.Context //nolint:containedctx // the stream's
	send func(*controlapi.StatusResponse) error
}

func (s *statusStream) Context() context.Context                { return s.ctx }
func (s *statusStream) Send(m *controlapi.StatusResponse) error { return s.send(m) }
func (s *statusStream) SendMsg(m any) error {
	if r, ok := m.(*controlapi.StatusResponse); ok {
		return s.send(r)
	}
	return fmt.Errorf("message of type %T", m)
}
func (*statusStream) RecvMsg(any) error            { return io.EOF }
func (*statusStream) SetHeader(metadata.MD) error  { return nil }
func (*statusStream) SendHeader(metadata.MD) error { return nil }
func (*statusStream) SetTrailer(metadata.MD)       {}
