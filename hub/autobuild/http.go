package autobuild

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/containerd/errdefs"
)

// maxHook is how much a hook may send, in bytes.
const maxHook = 1 << 20

// ServeHook answers POST /hooks/ID: a push elsewhere, told as GitHub, Gitea and
// Forgejo tell it, signed with the source's secret. Where the commit is fetched
// from is the source's to say, never the call's.
func (s *Service) ServeHook(w http.ResponseWriter, r *http.Request, id string) error {
	src, err := scanSource(s.DB.QueryRow(r.Context(), selectSource+" WHERE hook = ? AND kind = ?", id, Remote))
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("there is no such hook: %w", errdefs.ErrNotFound)
	}
	if err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
	if err != nil {
		return fmt.Errorf("read the body: %w: %w", errdefs.ErrInvalidArgument, err)
	}
	secret, err := s.Key.Open(purpose(src.repository), src.secret)
	if err != nil {
		return err
	}
	if !webhook.Verify(secret, body, r.Header.Get(webhook.SignatureHeader)) {
		return fmt.Errorf("the signature (%s) is not right: %w", webhook.SignatureHeader, errdefs.ErrUnauthenticated)
	}
	for _, h := range []string{"X-GitHub-Event", "X-Gitea-Event", "X-Forgejo-Event"} {
		if e := r.Header.Get(h); e != "" && e != "push" {
			w.WriteHeader(http.StatusNoContent) // a ping, or what was not asked for
			return nil
		}
	}
	var push struct {
		Ref    string `json:"ref"`
		After  string `json:"after"`
		Pusher struct {
			Name string `json:"name"`
		} `json:"pusher"`
	}
	if err := json.Unmarshal(body, &push); err != nil || !refForm.MatchString(push.Ref) || len(push.Ref) > 250 || !shaForm.MatchString(push.After) {
		return fmt.Errorf(`a push is told as {"ref": "refs/heads/NAME", "after": "COMMIT"}: %w`, errdefs.ErrInvalidArgument)
	}
	if strings.Trim(push.After, "0") == "" { // the ref was deleted
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	var ids []string
	err = s.DB.Tx(r.Context(), func(tx *store.Tx) error {
		ids, err = enqueue(r.Context(), tx, src, push.Ref, push.After, "hook")
		return err
	})
	if err != nil {
		return err
	}
	s.poke()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	return json.NewEncoder(w).Encode(map[string][]string{"builds": ids})
}

// gitProtocol is what a client may ask of Git's protocol by its header.
var gitProtocol = regexp.MustCompile(`^version=[0-9](:[a-z0-9=-]+)*$`)

// ServeGit answers Git's smart HTTP protocol for a hosted repository, for who may
// push images there; rest is the path after it.
func (s *Service) ServeGit(w http.ResponseWriter, r *http.Request, by account.Principal, name, rest string) error {
	found, err := s.reader(r.Context(), by, name)
	if err != nil {
		return err
	}
	if err := s.git.there(); err != nil {
		return err
	}
	src, err := source(r.Context(), s.DB, found.ID)
	if err != nil {
		return err
	}
	repository := found.ID
	if src.Kind != Hosted {
		return fmt.Errorf("the repository is built from Git elsewhere: %w", errdefs.ErrNotFound)
	}
	w.Header().Set("Cache-Control", "no-cache")
	service := r.URL.Query().Get("service")
	switch {
	case r.Method == http.MethodGet && rest == "info/refs" && (service == "git-upload-pack" || service == "git-receive-pack"):
		w.Header().Set("Content-Type", "application/x-"+service+"-advertisement")
		if !strings.HasPrefix(r.Header.Get("Git-Protocol"), "version=2") || service == "git-receive-pack" {
			line := "# service=" + service + "\n"
			if _, err := fmt.Fprintf(w, "%04x%s0000", len(line)+4, line); err != nil {
				return nil // the client went away
			}
		}
		return s.pack(w, r, repository, strings.TrimPrefix(service, "git-"), "--advertise-refs")
	case r.Method == http.MethodPost && (rest == "git-upload-pack" || rest == "git-receive-pack"):
		if r.Header.Get("Content-Type") != "application/x-"+rest+"-request" {
			return fmt.Errorf("content type %q: %w", r.Header.Get("Content-Type"), errdefs.ErrInvalidArgument)
		}
		w.Header().Set("Content-Type", "application/x-"+rest+"-result")
		if rest == "git-upload-pack" {
			return s.pack(w, r, repository, "upload-pack")
		}
		return s.receive(w, r, by, name, src)
	}
	return fmt.Errorf("this is a Git repository: clone it: %w", errdefs.ErrNotFound)
}

// receive takes a push in, which is in the audit log before it is there.
func (s *Service) receive(w http.ResponseWriter, r *http.Request, by account.Principal, name string, src Source) error {
	if err := s.Catalog.Act(r.Context(), by, deed(name, catalog.Write, "git.push"), func(*store.Tx, catalog.Found) error { return nil }); err != nil {
		return err
	}
	err := s.pack(w, r, src.repository, "receive-pack")
	// Also of a client that went away: its push may be there.
	return errors.Join(err, s.sync(context.WithoutCancel(r.Context()), src, by.Name))
}

// pack runs one of git's servers for one request.
func (s *Service) pack(w http.ResponseWriter, r *http.Request, repository, service string, args ...string) error {
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxPush)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return fmt.Errorf("the body is not gzip: %w", errdefs.ErrInvalidArgument)
		}
		body = io.LimitReader(z, maxPush)
	}
	dir := s.git.path(repository)
	args = append([]string{"-c", fmt.Sprintf("receive.maxInputSize=%d", maxPush), service, "--stateless-rpc"}, append(args, dir)...)
	c := s.git.command(r.Context(), dir, args...)
	if p := r.Header.Get("Git-Protocol"); gitProtocol.MatchString(p) {
		c.Env = append(c.Env, "GIT_PROTOCOL="+p)
	}
	said := &limited{most: maxGitSays}
	c.Stdin, c.Stdout, c.Stderr = body, flushing{w}, said
	if err := c.Run(); err != nil && r.Context().Err() == nil {
		// The answer has begun: git told the client in its own way.
		s.Log.Warn("git "+service, "repository", repository, "error", err, "said", said.String())
	}
	return nil
}

// flushing passes each write on at once, so that a push shows its progress.
type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = http.NewResponseController(f.w).Flush()
		if errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	return n, err
}

// sync makes builds of the refs that are not what they were. It finds out by
// itself, so that a push whose Hub was killed is built, too.
func (s *Service) sync(ctx context.Context, src Source, actor string) error {
	dir := s.git.path(src.repository)
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	refs, err := s.git.refs(ctx, dir)
	if err != nil {
		return err
	}
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(ctx, "SELECT ref, sha FROM build_refs WHERE repository = ?", src.repository)
		known := map[string]string{}
		if _, err = store.Collect(rows, err, func(row store.Scanner) (struct{}, error) {
			var ref, sha string
			err := row.Scan(&ref, &sha)
			known[ref] = sha
			return struct{}{}, err
		}); err != nil {
			return err
		}
		for ref, sha := range refs {
			if known[ref] == sha {
				continue
			}
			if _, err := enqueue(ctx, tx, src, ref, sha, actor); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO build_refs (repository, ref, sha) VALUES (?, ?, ?) ON CONFLICT (repository, ref) DO UPDATE SET sha = excluded.sha",
				src.repository, ref, sha); err != nil {
				return err
			}
		}
		for ref := range known {
			if _, there := refs[ref]; !there {
				if _, err := tx.Exec(ctx, "DELETE FROM build_refs WHERE repository = ? AND ref = ?", src.repository, ref); err != nil {
					return err
				}
			}
		}
		return nil
	})
	s.poke()
	return err
}
