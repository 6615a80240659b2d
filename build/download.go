package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/buildkit/util/tracing"
)

// silence is how long the server of a download or a repository may send nothing.
const silence = 10 * time.Minute

// bound is what one answer of a server may be.
type bound struct {
	most     int64         // bytes, unpacked
	patience time.Duration // with a server that sends nothing
}

func (b bound) tooMuch(what string) error {
	return fmt.Errorf("%s: it has more than %s, the most that a build may download at once (builder.maxDownload in daemon.json): %w",
		what, units.BytesSize(float64(b.most)), errdefs.ErrInvalidArgument)
}

func (b bound) silent(what string) error {
	return fmt.Errorf("%s: nothing has come for %s: %w", what, b.patience, errdefs.ErrUnavailable)
}

// limited is how a build reaches what has an address (ADD, a context, a Dockerfile),
// with a bound on an answer: a server can send without end, or never, and gzip
// as a transport's encoding makes a thousand of each byte.
type limited struct {
	http.RoundTripper
	bound
}

// downloads is BuildKit's transport with a bound.
func downloads(b bound) http.RoundTripper { return limited{tracing.DefaultTransport, b} }

// RoundTrip is InvalidArgument for an answer that says that it has more. One that
// does not say so is read to the bound; then reading it is. It is Unavailable if
// nothing comes, and so is reading.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	what := "download " + r.URL.Redacted()
	ctx, cancel := context.WithCancelCause(r.Context())
	silence := time.AfterFunc(l.patience, func() { cancel(l.silent(what)) })
	stop := func() {
		silence.Stop()
		cancel(nil)
	}
	resp, err := l.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		err = ended(ctx, err)
		stop()
		return nil, err
	}
	body := &limitedBody{ReadCloser: resp.Body, ctx: ctx, left: l.most, over: l.tooMuch(what), silence: silence, patience: l.patience, stop: stop}
	if r.Method == http.MethodHead {
		body.left = 0
	} else if resp.ContentLength > l.most {
		body.Close()
		return nil, body.over
	}
	resp.Body = body
	return resp, nil
}

// ended is an error of what a context has ended: its cause.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

type limitedBody struct {
	io.ReadCloser
	ctx      context.Context //nolint:containedctx // of the request that this is the answer of
	left     int64
	over     error
	silence  *time.Timer
	patience time.Duration
	stop     func()
}

func (b *limitedBody) Read(p []byte) (int, error) {
	// One byte more than may come tells an end from too much.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.silence.Reset(b.patience)
	}
	if int64(n) > b.left {
		n, b.left = int(b.left), 0
		return n, b.over
	}
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = ended(b.ctx, err)
	}
	return n, err
}

// Close ends the request.
func (b *limitedBody) Close() error {
	err := b.ReadCloser.Close()
	b.stop()
	return err
}
