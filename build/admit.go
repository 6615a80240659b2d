package build

import (
	"context"
	"fmt"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/containerimage"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
)

// admitting is the source of images, with the engine's signature policy before it:
// what a build is FROM, copies or mounts from, and frontends that are images.
type admitting struct {
	*containerimage.Source
	admit func(ctx context.Context, ref reference.Named, target digest.Digest, auth *registry.AuthConfig) error
}

// Resolve makes an instance that asks the policy once its digest is known, and
// before anything but manifests and configs is fetched.
func (a admitting) Resolve(ctx context.Context, id source.Identifier, sm *session.Manager, vtx solver.Vertex) (source.SourceInstance, error) {
	instance, err := a.Source.Resolve(ctx, id, sm, vtx)
	if err != nil {
		return nil, err
	}
	image, ok := id.(*containerimage.ImageIdentifier)
	if !ok {
		return nil, fmt.Errorf("source %T is no image", id)
	}
	return &admittedInstance{SourceInstance: instance, of: a, image: image, sessions: sm}, nil
}

type admittedInstance struct {
	source.SourceInstance
	of       admitting
	image    *containerimage.ImageIdentifier
	sessions *session.Manager
}

// CacheKey finds out the digest.
func (i *admittedInstance) CacheKey(ctx context.Context, job solver.JobContext, index int) (key, pin string, opts solver.CacheOpts, done bool, err error) {
	key, pin, opts, done, err = i.SourceInstance.CacheKey(ctx, job, index)
	if err != nil {
		return key, pin, opts, done, err
	}
	ref, err := reference.ParseNormalizedNamed(i.image.Reference.String())
	if err != nil {
		return "", "", nil, false, err
	}
	// The frontend has added the digest to the tag that the user gave.
	if t, ok := ref.(reference.Tagged); ok {
		if ref, err = reference.WithTag(reference.TrimNamed(ref), t.Tag()); err != nil {
			return "", "", nil, false, err
		}
	}
	target, err := digest.Parse(pin)
	if err != nil {
		return "", "", nil, false, fmt.Errorf("digest of %s: %w", ref, err)
	}
	var given *registry.AuthConfig
	host := reference.Domain(ref)
	if host == "docker.io" {
		host = "registry-1.docker.io" // BuildKit's clients know it by that name
	}
	if _, user, secret, err := auth.CredentialsFunc(ctx, i.sessions, job.Session())(host); err == nil && secret != "" {
		given = &registry.AuthConfig{Username: user, Password: secret}
		if user == "" {
			given = &registry.AuthConfig{IdentityToken: secret}
		}
	}
	if err := i.of.admit(ctx, ref, target, given); err != nil {
		return "", "", nil, false, err
	}
	return key, pin, opts, done, nil
}
