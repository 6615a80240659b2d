package build

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"

	"github.com/moby/buildkit/util/grpcerrors"
)

// maxMessage is how large a message of BuildKit's API may be; it is BuildKit's.
const maxMessage = 16 << 20

func serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(grpcerrors.UnaryServerInterceptor, anew),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
	}
}

// Session serves a client's session on a connection until its end: builds ask the
// client for its files, secrets and credentials. header is the request's.
func (e *Engine) Session(ctx context.Context, conn net.Conn, header http.Header) error {
	p, err := e.open()
	if err != nil {
		return err
	}
	watched, ctx := watch(ctx, conn)
	return p.sessions.HandleConn(ctx, watched, header)
}

// watched is a connection whose end ends a context. BuildKit finds out that a client
// has left only when two checks of its health have failed, after ten seconds.
type watched struct {
	net.Conn
	end context.CancelCauseFunc
}

func watch(ctx context.Context, conn net.Conn) (net.Conn, context.Context) {
	ctx, end := context.WithCancelCause(ctx)
	return &watched{conn, end}, ctx
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.end(fmt.Errorf("the client has left: %w", err))
	}
	return n, err
}

// Close ends the context, too.
func (w *watched) Close() error {
	w.end(net.ErrClosed)
	return w.Conn.Close()
}

// Serve speaks BuildKit's API, which is gRPC over HTTP/2, on a connection until
// its end.
func (e *Engine) Serve(ctx context.Context, conn net.Conn) error {
	p, err := e.open()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	quiet := &http.Server{ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute} // clients that leave are no news
	//nolint:staticcheck // http.Server serves no connection that it has not accepted
	(&http2.Server{}).ServeConn(conn, &http2.ServeConnOpts{Context: ctx, Handler: p.server, BaseConfig: quiet})
	return nil
}

// buildkitVersion is that of the module that is embedded.
func buildkitVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/moby/buildkit" {
			return m.Version
		}
	}
	return ""
}
