package mirror

import (
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/status"
	"github.com/berth-engine/berth/hub/token"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// split takes a path of the distribution protocol apart.
func split(path string) (name, kind, reference string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return "", "", "", false
	}
	if name, listed := strings.CutSuffix(rest, "/tags/list"); listed && name != "" {
		return name, "tags", "list", true
	}
	for _, kind := range []string{"manifests", "blobs"} {
		if i := strings.LastIndex(rest, "/"+kind+"/"); i > 0 {
			name, reference = rest[:i], rest[i+len(kind)+2:]
			return name, kind, reference, reference != "" && !strings.Contains(reference, "/")
		}
	}
	return "", "", "", false
}

// NameOf is the repository that a path of the distribution protocol reads a
// manifest, a blob or the tags of, or "".
func NameOf(path string) string {
	name, _, _, ok := split(path)
	if !ok {
		return ""
	}
	return name
}

// Serve answers a request of the distribution protocol for a repository that
// Match found; whether the client may read is decided by then.
func (s *Service) Serve(w http.ResponseWriter, r *http.Request, m Mirror, repository string) {
	_, kind, reference, ok := split(r.URL.Path)
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		token.Fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this repository shows another registry's: only manifests, blobs and tags can be read")
		return
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	var err error
	switch kind {
	case "manifests":
		err = s.serveManifest(w, r, m, repository, reference)
	case "tags":
		err = s.serveTags(w, r, m, repository)
	default:
		err = s.serveBlob(w, r, m, repository, reference)
	}
	if err != nil {
		s.fail(w, r, kind, err)
	}
}

func (s *Service) serveManifest(w http.ResponseWriter, r *http.Request, m Mirror, repository, reference string) error {
	found, err := s.manifest(r.Context(), m, repository, reference)
	if err != nil {
		return err
	}
	h := w.Header()
	if found.stale {
		h.Set("Warning", `110 - "the upstream registry could not be asked"`)
	}
	h.Set("Content-Type", found.mediaType)
	h.Set("Docker-Content-Digest", found.digest.String())
	h.Set("Etag", `"`+found.digest.String()+`"`)
	h.Set("Content-Length", strconv.Itoa(len(found.body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(found.body) // a client that went away needs no answer
	}
	return nil
}

func (s *Service) serveBlob(w http.ResponseWriter, r *http.Request, m Mirror, repository, reference string) error {
	d, err := digest.Parse(reference)
	if err != nil {
		token.Fail(w, http.StatusBadRequest, "DIGEST_INVALID", err.Error())
		return nil
	}
	h := w.Header()
	if r.Method == http.MethodHead {
		size, err := s.size(r.Context(), m, repository, d)
		if err != nil {
			return err
		}
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Docker-Content-Digest", d.String())
		if size >= 0 { // a client that knows the size from the manifest needs no more
			h.Set("Content-Length", strconv.FormatInt(size, 10))
		}
		return nil
	}
	content, err := s.open(r.Context(), m, repository, d)
	if err != nil {
		return err
	}
	defer content.Close()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", `"`+d.String()+`"`)
	f, flying := content.(*reader)
	if flying && f.flight.total == unknownSize {
		// Without a size there are no ranges, and the answer comes in chunks.
		if _, err := io.Copy(w, content); err != nil {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	http.ServeContent(w, r, "", time.Time{}, content)
	if flying {
		f.flight.mu.Lock()
		defer f.flight.mu.Unlock()
		if f.flight.err != nil {
			panic(http.ErrAbortHandler) // the client must see that this was not all
		}
	}
	return nil
}

// size is a blob's, in bytes; unknownSize when the upstream does not say.
func (s *Service) size(ctx context.Context, m Mirror, repository string, d digest.Digest) (int64, error) {
	if info, err := os.Stat(s.blobPath(m, d)); err == nil {
		return info.Size(), nil
	}
	u, err := s.upstream(m)
	if err != nil {
		return 0, err
	}
	resp, err := u.get(ctx, http.MethodHead, repository, "blobs/"+d.String(), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.ContentLength < 0 {
		return unknownSize, nil
	}
	return resp.ContentLength, nil
}

// fail answers an error with the status of its kind.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, kind string, err error) {
	status.Retry(w.Header(), err)
	switch {
	case r.Context().Err() != nil:
	case errdefs.IsResourceExhausted(err):
		token.Fail(w, status.Of(err), "TOOMANYREQUESTS", err.Error())
	case errdefs.IsInvalidArgument(err):
		token.Fail(w, status.Of(err), "PAGINATION_NUMBER_INVALID", err.Error())
	case errdefs.IsNotFound(err):
		code := map[string]string{"blobs": "BLOB_UNKNOWN", "tags": "NAME_UNKNOWN", "manifests": "MANIFEST_UNKNOWN"}[kind]
		token.Fail(w, http.StatusNotFound, code, "the upstream registry does not have it, or not for this Hub")
	default:
		s.Log.Error("mirror", "path", r.URL.Path, "error", err)
		token.Fail(w, http.StatusBadGateway, "UNAVAILABLE", "the upstream registry did not answer as it should; the Hub's log says more")
	}
}
