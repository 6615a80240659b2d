package build

import (
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/buildkit/util/tracing"
)

// limited is how a build reaches what has an address (ADD, a context, a Dockerfile),
// with a bound on what an answer may have: a server can send without end, and gzip
// as a transport's encoding makes a thousand of each byte.
type limited struct {
	http.RoundTripper
	most int64 // bytes, unpacked
}

// downloads is BuildKit's transport with a bound.
func downloads(most int64) http.RoundTripper { return limited{tracing.DefaultTransport, most} }

// RoundTrip is InvalidArgument for an answer that says that it has more. One that
// does not say so is read to the bound; then reading it is.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err != nil || r.Method == http.MethodHead {
		return resp, err
	}
	over := fmt.Errorf("download %s: it has more than %s, the most that a build may download at once (builder.maxDownload in daemon.json): %w",
		r.URL.Redacted(), units.BytesSize(float64(l.most)), errdefs.ErrInvalidArgument)
	if resp.ContentLength > l.most {
		resp.Body.Close()
		return nil, over
	}
	resp.Body = &limitedBody{resp.Body, l.most, over}
	return resp, nil
}

type limitedBody struct {
	io.ReadCloser
	left int64
	over error
}

func (b *limitedBody) Read(p []byte) (int, error) {
	// One byte more than may come tells an end from too much.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, b.left = int(b.left), 0
		return n, b.over
	}
	b.left -= int64(n)
	return n, err
}
