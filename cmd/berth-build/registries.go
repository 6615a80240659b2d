package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/remote"
)

// registries talks to registries as the user, with the engine's rules about
// credentials.
type registries struct {
	docker   *command.DockerCli
	insecure bool
	client   *remote.Client
}

func newRegistries(docker *command.DockerCli, insecure bool) *registries {
	return &registries{docker, insecure, remote.New()}
}

// most is how large a manifest or config may be.
const most = 16 << 20

func (r *registries) open(ctx context.Context, ref reference.Named) (*remote.Repository, error) {
	domain := reference.Domain(ref)
	key := domain
	if domain == "docker.io" {
		key = "https://index.docker.io/v1/"
	}
	var auth *registry.AuthConfig
	if a, err := r.docker.ConfigFile().GetAuthConfig(key); err == nil {
		auth = &registry.AuthConfig{
			Username: a.Username, Password: a.Password, Auth: a.Auth, ServerAddress: a.ServerAddress,
			IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken,
		}
	}
	how := remote.Registries{ConfigDirs: []string{"/etc/berth/certs.d", "/etc/docker/certs.d"}}
	if r.insecure {
		how.Insecure = []string{domain}
	}
	return r.client.Open(ctx, how, ref, auth)
}

// Manifest implements manifestlist.Registry, as do the others.
func (r *registries) Manifest(ctx context.Context, ref reference.Named) (ocispec.Descriptor, []byte, error) {
	repo, err := r.open(ctx, ref)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	desc, err := repo.Resolve(ctx)
	if err != nil {
		return desc, nil, err
	}
	raw, err := fetch(ctx, repo, desc)
	return desc, raw, err
}

// Config fetches a small blob.
func (r *registries) Config(ctx context.Context, ref reference.Named, desc ocispec.Descriptor) ([]byte, error) {
	repo, err := r.open(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fetch(ctx, repo, desc)
}

func fetch(ctx context.Context, repo *remote.Repository, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size > most {
		return nil, fmt.Errorf("%s has %d bytes, more than the limit of %d", desc.Digest, desc.Size, most)
	}
	fetcher, err := repo.Fetcher(ctx)
	if err != nil {
		return nil, err
	}
	body, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(data); got != desc.Digest {
		return nil, fmt.Errorf("%s was answered with %s", desc.Digest, got)
	}
	return data, nil
}

// Mount makes a blob be in a repository; where the registry does not take it from
// the other one it is sent.
func (r *registries) Mount(ctx context.Context, to, from reference.Named, desc ocispec.Descriptor) error {
	source, err := r.open(ctx, from)
	if err != nil {
		return err
	}
	desc.Annotations = source.Source()
	return r.push(ctx, to, ocispec.Descriptor{Digest: none}, desc, func() (io.ReadCloser, error) {
		fetcher, err := source.Fetcher(ctx)
		if err != nil {
			return nil, err
		}
		return fetcher.Fetch(ctx, desc)
	})
}

// none is the digest of nothing that is sent: what has another one gets no tag.
var none = digest.FromString("")

// Put sends a manifest.
func (r *registries) Put(ctx context.Context, ref reference.Named, desc ocispec.Descriptor, raw []byte) error {
	root := desc
	if _, digested := ref.(reference.Digested); digested {
		ref, root.Digest = reference.TagNameOnly(reference.TrimNamed(ref)), none
	}
	desc.Platform = nil
	return r.push(ctx, ref, root, desc, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
}

func (r *registries) push(ctx context.Context, ref reference.Named, root, desc ocispec.Descriptor, open func() (io.ReadCloser, error)) error {
	repo, err := r.open(ctx, ref)
	if err != nil {
		return err
	}
	pusher, err := repo.Pusher(ctx, root, docker.NewInMemoryTracker())
	if err != nil {
		return repo.PushError(err)
	}
	w, err := pusher.Push(ctx, desc)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return repo.PushError(err)
	}
	defer w.Close()
	body, err := open()
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil {
		return repo.PushError(err)
	}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return repo.PushError(err)
	}
	return nil
}
