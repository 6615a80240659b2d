package remote

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/labels"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// userAgent is what registries are told.
const userAgent = "berth"

// Client holds connections to registries, kept from one use to the next.
type Client struct {
	wait func(ctx context.Context, d time.Duration) error

	mu         sync.Mutex
	transports map[string]*http.Transport // by what they trust
}

// New makes a Client without connections.
func New() *Client {
	return &Client{wait: Wait, transports: map[string]*http.Transport{}}
}

// Close closes idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// Repository is a repository of a registry as one user may see it.
type Repository struct {
	ref   reference.Named
	hosts []docker.RegistryHost // mirrors first, the registry itself last
}

// Open prepares the use of the repository of ref. It asks the registry nothing
// but, of an insecure one, whether it speaks TLS. auth may be nil: anonymous.
// InvalidArgument for a mirror that is no URL.
func (c *Client) Open(ctx context.Context, r Registries, ref reference.Named, auth *registry.AuthConfig) (*Repository, error) {
	hosts, err := r.hosts(ctx, c, reference.Domain(ref), auth)
	if err != nil {
		return nil, err
	}
	return &Repository{ref: ref, hosts: hosts}, nil
}

// Name is the repository with its registry, as "docker.io/library/busybox".
func (r *Repository) Name() string { return r.ref.Name() }

// Source is the label that tells of a blob that it is in this repository, in
// containerd's form. A push to another repository of the registry finds the blob
// by it.
func (r *Repository) Source() map[string]string {
	host, _, _ := strings.Cut(reference.Domain(r.ref), ":")
	return map[string]string{labels.LabelDistributionSource + "." + host: reference.Path(r.ref)}
}

// resolver works with those hosts that can do something; 0: all. The library
// itself looks at that when it resolves and pushes, but not when it fetches.
func (r *Repository) resolver(can docker.HostCapabilities, tracker docker.StatusTracker) remotes.Resolver {
	var hosts []docker.RegistryHost
	for _, h := range r.hosts {
		if h.Capabilities.Has(can) {
			hosts = append(hosts, h)
		}
	}
	return docker.NewResolver(docker.ResolverOptions{
		Hosts:   func(string) ([]docker.RegistryHost, error) { return hosts, nil },
		Headers: http.Header{"User-Agent": {userAgent}},
		Tracker: tracker,
	})
}

// Resolve asks what the reference stands for: an index or a manifest. Errors
// have Docker's texts: NotFound for an unknown image and for refused access,
// Unauthenticated for wrong credentials; those of the network have no kind.
func (r *Repository) Resolve(ctx context.Context) (ocispec.Descriptor, error) {
	_, desc, err := r.resolver(0, nil).Resolve(ctx, r.ref.String())
	if err != nil {
		return ocispec.Descriptor{}, resolveError(r.ref, err, r.withheld())
	}
	return desc, nil
}

// Fetcher reads blobs and manifests of the repository.
func (r *Repository) Fetcher(ctx context.Context) (remotes.Fetcher, error) {
	return r.resolver(docker.HostCapabilityPull, nil).Fetcher(ctx, r.ref.String())
}

// Pusher writes to the repository itself, never to a mirror. The manifest with
// the digest root gets the reference's tag. The tracker hears of each blob.
func (r *Repository) Pusher(ctx context.Context, root ocispec.Descriptor, tracker docker.StatusTracker) (remotes.Pusher, error) {
	return r.resolver(docker.HostCapabilityPush, tracker).Pusher(ctx, r.ref.String()+"@"+root.Digest.String())
}

// withheld names the token server that was not given the credentials, if any.
func (r *Repository) withheld() string {
	if a, ok := r.origin().Authorizer.(*authorizer); ok && a.withheld.Load() != nil {
		return *a.withheld.Load()
	}
	return ""
}

func (r *Repository) origin() docker.RegistryHost { return r.hosts[len(r.hosts)-1] }

// Hosts says how a registry is reached, mirrors first, for who brings credentials
// of their own, and an authorizer. Below that their requests are held to the rules
// of ours.
func (c *Client) Hosts(ctx context.Context, r Registries, domain string) ([]docker.RegistryHost, error) {
	hosts, err := r.hosts(ctx, c, domain, nil)
	if err != nil {
		return nil, err
	}
	return bind(hosts), nil
}
