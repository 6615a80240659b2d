package registry

import (
	"context"
	"net/http"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/token"
)

// request is what is known of a request while it is served.
type request struct {
	identity token.Identity
	err      error // why the credential was not taken
	signedIn bool  // there was a credential
	method   string
	header   http.Header // of the answer
	noMount  bool        // the source of a mount may not be read
	writer   *once
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// ServeHTTP answers a request of the distribution protocol.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	rq := &request{}
	if !r.o.Catalog.Open() {
		authorization := req.Header.Get("Authorization")
		rq.signedIn = authorization != ""
		rq.identity, rq.err = r.o.Identify(req.Context(), authorization)
	}
	r.serve(w, req, rq)
}

// As is the registry as somebody sees it who needs no credentials: for the
// Hub's own parts, in the same process.
func (r *Registry) As(p account.Principal) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.serve(w, req, &request{identity: token.Identity{Principal: p}, signedIn: true})
	})
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request, rq *request) {
	rq.method = req.Method
	rq.writer = &once{ResponseWriter: w}
	rq.header = w.Header()
	if tooLong(req.URL.Path) {
		token.Fail(w, http.StatusBadRequest, "NAME_INVALID", "a repository's name has at most 255 characters")
		return
	}
	if other := otherAlgorithm(req); other != "" {
		token.Fail(w, http.StatusBadRequest, "DIGEST_INVALID", "this registry keeps content by sha256 alone, not by "+other+": push it with its sha256 digest")
		return
	}
	req = req.WithContext(context.WithValue(req.Context(), requestKey{}, rq))
	if name, digest, ok := splitReferrers(req.URL.Path); ok {
		r.referrers(rq.writer, req, name, digest)
		return
	}
	r.app.ServeHTTP(rq.writer, req)
}

// otherAlgorithm is the digest algorithm, other than sha256, by which a request
// wants to store content, or "". Without this, distribution would say of a
// manifest that its content is not what its digest says.
func otherAlgorithm(req *http.Request) string {
	if req.Method == http.MethodGet || req.Method == http.MethodHead || req.Method == http.MethodDelete {
		return ""
	}
	query := req.URL.Query()
	_, reference, manifest := strings.Cut(req.URL.Path, "/manifests/")
	for _, by := range []string{query.Get("digest"), reference} {
		algorithm, _, ok := strings.Cut(by, ":")
		if by == reference && (!manifest || !ok) {
			continue // a tag
		}
		if algorithm != "" && algorithm != "sha256" {
			return algorithm
		}
	}
	if algorithm := query.Get("digest-algorithm"); algorithm != "" && algorithm != "sha256" {
		return algorithm
	}
	return ""
}

// parts are what follows a repository's name in a path.
var parts = []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"}

// tooLong reports whether a path names a repository that is longer than any,
// for which distribution blames itself. It only refuses: what a request is about
// is the router's to say.
func tooLong(path string) bool {
	const prefix, most = "/v2/", 255
	for _, part := range parts {
		if strings.LastIndex(path, part) > len(prefix)+most {
			return true
		}
	}
	return false
}

// splitReferrers reads /v2/NAME/referrers/DIGEST, which distribution does not
// know. A digest has a colon, which no other last part of a path has.
func splitReferrers(path string) (name, digest string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	at := strings.LastIndex(rest, "/referrers/")
	if !ok || at < 0 {
		return "", "", false
	}
	name, digest = rest[:at], rest[at+len("/referrers/"):]
	return name, digest, !strings.Contains(digest, "/")
}

// once is a ResponseWriter that can be told that the answer is complete:
// distribution writes some errors twice.
type once struct {
	http.ResponseWriter
	status   int
	last     bool // the next write completes the answer
	complete bool
}

func (o *once) WriteHeader(status int) {
	if o.complete || o.status != 0 {
		return
	}
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

func (o *once) Write(p []byte) (int, error) {
	if o.complete {
		return len(p), nil
	}
	o.complete = o.last
	if o.status == 0 {
		o.status = http.StatusOK
	}
	return o.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (o *once) Unwrap() http.ResponseWriter { return o.ResponseWriter }
