package image

import (
	"context"
	"log/slog"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/event"
)

// Registries says how registries are reached. The zero value reaches each by
// its own name over HTTPS, and those on loopback addresses also over HTTP.
type Registries struct {
	// Mirrors are base URLs ("https://mirror.example", "http://127.0.0.1:5000")
	// tried in order before the registry itself. The key is the registry's
	// host as it stands in references: "docker.io", "quay.io", "host:5000".
	Mirrors map[string][]string
	// Insecure lists hosts ("host", "host:5000") and networks ("10.0.0.0/8")
	// whose certificates are not verified and which may answer in plain HTTP.
	Insecure []string
}

// Options configures Open.
type Options struct {
	Root         string       // directory of the store; made if absent
	Registries   Registries   // see SetRegistries
	Events       *event.Bus   // nil: no events
	Log          *slog.Logger // nil: silent
	MaxDownloads int          // layers fetched at once over all pulls; 0: 3, as Docker
}

// Store is the image store. Its methods may be called from several goroutines.
type Store struct{}

// Open opens or makes the store below o.Root.
func Open(ctx context.Context, o Options) (*Store, error) { return nil, errTemp }

// Close waits for the work the store has started and closes its files.
func (s *Store) Close() error { return errTemp }

// SetRegistries replaces the registry settings; pulls already under way keep the old ones.
func (s *Store) SetRegistries(r Registries) {}

// PullOptions configures Pull.
type PullOptions struct {
	Platform *ocispec.Platform        // nil: the host's
	Auth     *registry.AuthConfig     // nil: anonymous
	Progress func(jsonstream.Message) // nil: none; called from one goroutine at a time
}

// Pull fetches an image.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) error { return errTemp }

// Image is an image that can be run.
type Image struct {
	ID       digest.Digest              // digest of the target: an index or a manifest
	Ref      string                     // familiar name it was found by; "" when found by ID
	Target   ocispec.Descriptor         // descriptor with digest ID
	Manifest ocispec.Descriptor         // manifest of the chosen platform
	Config   dockerspec.DockerOCIImage  // its config
	ChainID  digest.Digest              // of all its layers; "" when it has none
	Platform ocispec.Platform
}

// Resolve finds an image.
func (s *Store) Resolve(ctx context.Context, refOrID string, p *ocispec.Platform) (*Image, error) {
	return nil, errTemp
}

// Rootfs is an image's unpacked file system.
type Rootfs struct {
	Lower   []string // overlay lower directories, topmost first, absolute
	Release func()   // to be called once, when the directories are no longer needed
}

// Rootfs returns the directories of an image's layers.
func (s *Store) Rootfs(ctx context.Context, img *Image) (*Rootfs, error) { return nil, errTemp }

// Holder is a container that uses an image.
type Holder struct {
	ContainerID string
	Running     func() bool // nil: never
}

// Hold registers a container as user of an image until release is called.
func (s *Store) Hold(img *Image, h Holder) (release func()) { return func() {} }

// Containers counts the holders of the image with that ID.
func (s *Store) Containers(id digest.Digest) int { return 0 }

// ListOptions configures List.
type ListOptions struct {
	All        bool // accepted for Docker's sake; there are no intermediate images
	Digests    bool // accepted for Docker's sake; digests are always given
	Manifests  bool // fill Summary.Manifests
	SharedSize bool // compute Summary.SharedSize
	Filters    map[string]map[string]bool
}

// List lists images, newest first.
func (s *Store) List(ctx context.Context, o ListOptions) ([]imagetypes.Summary, error) {
	return nil, errTemp
}

// InspectOptions configures Inspect.
type InspectOptions struct {
	Platform  *ocispec.Platform // nil: the best available
	Manifests bool
}

// Inspect describes an image.
func (s *Store) Inspect(ctx context.Context, ref string, o InspectOptions) (imagetypes.InspectResponse, error) {
	return imagetypes.InspectResponse{}, errTemp
}

// History lists the steps an image was built in, newest first.
func (s *Store) History(ctx context.Context, ref string, p *ocispec.Platform) ([]imagetypes.HistoryResponseItem, error) {
	return nil, errTemp
}

// Tag gives the image src the name dst.
func (s *Store) Tag(ctx context.Context, src, dst string) error { return errTemp }

// Remove removes a name, or an image with all its names.
func (s *Store) Remove(ctx context.Context, ref string, force, prune bool) ([]imagetypes.DeleteResponse, error) {
	return nil, errTemp
}
