package gc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	_ "crypto/sha512" // sha512 digests are known to go-digest by it
	"github.com/opencontainers/go-digest"
)

// maxManifest is distribution's limit of a manifest, in bytes; a longer one is
// refused there.
const maxManifest = 4 << 20

// Wrap lets the registry's requests pass the gate. It belongs inside of what
// decides who may do what, so that strangers cannot fill the database.
//
//   - HEAD of a blob: the client will not upload it when it is there.
//   - an upload that ends, and a mount: a link to the blob is made.
//   - PUT of a manifest: all that it refers to is relied on.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		blobs, err := relies(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if len(blobs) > 0 {
			release, err := g.Hold(r.Context(), blobs...)
			if err != nil {
				if r.Context().Err() == nil {
					w.Header().Set("Retry-After", "5")
					http.Error(w, "the Hub's database does not answer: "+err.Error(), http.StatusServiceUnavailable)
				}
				return
			}
			defer release()
		}
		next.ServeHTTP(w, r)
	})
}

// relies lists the blobs that a request relies on. Of a manifest it reads the
// body and puts it back.
func relies(r *http.Request) ([]digest.Digest, error) {
	path := r.URL.Path
	if i := strings.LastIndex(path, "/manifests/"); i >= 0 {
		if r.Method == http.MethodPut {
			return ofManifest(r, path[i+len("/manifests/"):])
		}
		return nil, nil
	}
	i := strings.LastIndex(path, "/blobs/")
	if i < 0 {
		return nil, nil
	}
	rest := path[i+len("/blobs/"):]
	query := r.URL.Query()
	var names []string
	switch {
	case strings.HasPrefix(rest, "uploads/") && (r.Method == http.MethodPost || r.Method == http.MethodPut):
		names = []string{query.Get("digest"), query.Get("mount")}
	case r.Method == http.MethodHead:
		names = []string{rest}
	}
	var blobs []digest.Digest
	for _, s := range names {
		if d, err := digest.Parse(s); err == nil { // the registry says what is wrong with a bad one
			blobs = append(blobs, d)
		}
	}
	return blobs, nil
}

func ofManifest(r *http.Request, reference string) ([]digest.Digest, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	if err != nil {
		return nil, errors.New("the manifest did not arrive whole")
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	blobs := append(References(body), digest.FromBytes(body))
	if d, err := digest.Parse(reference); err == nil && d.Algorithm() != digest.Canonical {
		blobs = append(blobs, d)
	}
	return blobs, nil
}

// References lists every digest that a manifest names as such, whatever kind
// of manifest it is: config, layers, manifests of an index, subject.
func References(manifest []byte) []digest.Digest {
	var doc any
	if json.Unmarshal(manifest, &doc) != nil {
		return nil
	}
	var all []digest.Digest
	seen := map[digest.Digest]bool{}
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				visit(e)
			}
		case map[string]any:
			for key, e := range v {
				s, ok := e.(string)
				// "blobSum" is what the first manifests of all called it.
				if d, err := digest.Parse(s); ok && err == nil && (key == "digest" || key == "blobSum") && !seen[d] {
					seen[d] = true
					all = append(all, d)
				}
				visit(e)
			}
		}
	}
	visit(doc)
	return all
}
