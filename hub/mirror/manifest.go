package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// maxManifest is distribution's limit of a manifest, in bytes.
const maxManifest = 4 << 20

// manifestTypes are what is asked for and passed on; an upstream that sends
// another type is not believed.
var manifestTypes = []string{
	"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
}

// manifest is one that is kept.
type manifest struct {
	digest    digest.Digest
	mediaType string
	checked   time.Time
	body      []byte
	// stale says that the upstream could not be asked.
	stale bool
}

// manifest finds what a tag or digest leads to: what is kept, while it is
// fresh, and what the upstream says.
func (s *Service) manifest(ctx context.Context, m Mirror, repository, reference string) (manifest, error) {
	kept, err := s.kept(ctx, m, repository, reference)
	have := err == nil
	if err != nil && !errdefs.IsNotFound(err) {
		return manifest{}, err
	}
	_, err = digest.Parse(reference)
	byDigest := err == nil
	if have && (byDigest || time.Since(kept.checked) < time.Duration(m.FreshSeconds)*time.Second) {
		return kept, nil
	}
	u, err := s.upstream(m)
	if err != nil {
		return manifest{}, err
	}
	if have {
		// Asking for the head costs nothing of Docker Hub's limit of pulls.
		if same, err := s.same(ctx, u, repository, reference, kept.digest); err == nil && same {
			return kept, s.keep(ctx, m, repository, reference, kept)
		}
	}
	found, err := s.fetchManifest(ctx, u, repository, reference)
	switch {
	case err == nil:
		return found, s.keep(ctx, m, repository, reference, found)
	case have && (errdefs.IsResourceExhausted(err) || errdefs.IsUnavailable(err)):
		kept.stale = true
		return kept, nil
	case have && errdefs.IsNotFound(err):
		_, forgotten := s.DB.Exec(ctx, "DELETE FROM mirror_manifests WHERE mirror = ? AND repository = ? AND reference = ?", m.ID, repository, reference)
		return manifest{}, errors.Join(err, forgotten)
	}
	return manifest{}, err
}

// same asks whether a tag still leads to a digest.
func (s *Service) same(ctx context.Context, u *upstream, repository, reference string, d digest.Digest) (bool, error) {
	resp, err := u.get(ctx, http.MethodHead, repository, "manifests/"+reference, manifestTypes)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return resp.Header.Get("Docker-Content-Digest") == d.String(), nil
}

func (s *Service) fetchManifest(ctx context.Context, u *upstream, repository, reference string) (manifest, error) {
	resp, err := u.get(ctx, http.MethodGet, repository, "manifests/"+reference, manifestTypes)
	if err != nil {
		return manifest{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return manifest{}, fmt.Errorf("the upstream registry: %w", unavailable(err))
	}
	f := manifest{digest: digest.FromBytes(body), mediaType: resp.Header.Get("Content-Type"), body: body}
	if want, err := digest.Parse(reference); err == nil {
		f.digest = want.Algorithm().FromBytes(body)
		if f.digest != want {
			return manifest{}, fmt.Errorf("the upstream registry sent something else than %s: %w", want, errdefs.ErrUnavailable)
		}
	}
	var typed struct {
		MediaType string `json:"mediaType"`
	}
	if len(body) > maxManifest || json.Unmarshal(body, &typed) != nil || !slices.Contains(manifestTypes, f.mediaType) ||
		typed.MediaType != "" && typed.MediaType != f.mediaType {
		return manifest{}, fmt.Errorf("the upstream registry sent %d bytes of %q, which is no manifest: %w", len(body), f.mediaType, errdefs.ErrUnavailable)
	}
	return f, nil
}

// kept reads what the mirror has, ErrNotFound when that is nothing.
func (s *Service) kept(ctx context.Context, m Mirror, repository, reference string) (manifest, error) {
	var k manifest
	var text string
	var checked int64
	err := s.DB.QueryRow(ctx, "SELECT digest, media_type, checked FROM mirror_manifests WHERE mirror = ? AND repository = ? AND reference = ?",
		m.ID, repository, reference).Scan(&text, &k.mediaType, &checked)
	if err != nil {
		return manifest{}, err
	}
	k.digest, k.checked = digest.Digest(text), time.Unix(checked, 0)
	if err := k.digest.Validate(); err != nil {
		return manifest{}, err
	}
	path := s.blobPath(m, k.digest)
	k.body, err = os.ReadFile(path)
	if err != nil {
		return manifest{}, fmt.Errorf("%s was evicted: %w", k.digest, errdefs.ErrNotFound)
	}
	used(path)
	return k, nil
}

// keep writes a manifest down, as the reference's and its own digest's.
func (s *Service) keep(ctx context.Context, m Mirror, repository, reference string, k manifest) error {
	path := s.blobPath(m, k.digest)
	if _, err := os.Stat(path); err != nil {
		if err := writeWhole(path, k.body); err != nil {
			return err
		}
		if err := s.evict(m, path); err != nil {
			return err
		}
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		for _, r := range slices.Compact([]string{reference, k.digest.String()}) {
			if _, err := tx.Exec(ctx, `INSERT INTO mirror_manifests (mirror, repository, reference, digest, media_type, checked) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (mirror, repository, reference) DO UPDATE SET digest = excluded.digest, media_type = excluded.media_type, checked = excluded.checked`,
				m.ID, repository, r, k.digest.String(), k.mediaType, time.Now().Unix()); err != nil {
				return err
			}
		}
		return nil
	})
}

func writeWhole(path string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "part-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close(), os.Rename(f.Name(), path))
}
