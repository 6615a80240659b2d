package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/progress"
	"github.com/berth-engine/berth/image/store"
	"github.com/berth-engine/berth/trace"
)

// Bounds on what a registry may make us read into memory or walk.
const (
	maxManifest = 4 << 20  // bytes of a manifest or index, as the distribution-spec recommends
	maxConfig   = 16 << 20 // bytes of an image's config
	maxDepth    = 3        // indexes within indexes
)

// MaxLayers is how many layers an image may have: overlayfs takes 500 lower
// directories.
const MaxLayers = 480

// job is one pull; as images.Handler it treats one descriptor after another.
type job struct {
	content   content.Store
	snapshots snapshots.Snapshotter
	fetcher   remotes.Fetcher
	ref       reference.Named
	source    map[string]string // label of blobs: where they are from
	platform  *ocispec.Platform
	progress  *progress.Stream
	words     words
	attempts  int           // how often a blob is asked for; 0: once
	pause     time.Duration // before the second time
	at        *trace.Trace  // nil: nobody asks

	mu       sync.Mutex
	depth    map[digest.Digest]int
	manifest ocispec.Descriptor
	image    ocispec.Manifest
	order    []digest.Digest
	layers   map[digest.Digest]*layer
	chainID  digest.Digest
	chains   map[string]digest.Digest // layer by the name of its snapshot
}

// words are what is said of a layer; an empty one is not said.
type words struct{ waiting, here, known, unpacking, done string }

var (
	pulling = words{"Pulling fs layer", "Download complete", "Already exists", "Extracting", "Pull complete"}
	loading = words{unpacking: "Loading layer"}
)

func (j *job) say(d digest.Digest, word string, count jsonstream.Progress) {
	if word != "" {
		j.progress.Layer(d, word, count)
	}
}

type layer struct {
	total    int64
	existed  bool
	arrived  bool
	finished bool
	extract  *progress.Counter
}

// Handle fetches what desc describes and returns its children.
func (j *job) Handle(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := check(desc); err != nil {
		return nil, err
	}
	if err := j.fetch(ctx, desc); err != nil {
		return nil, err
	}
	switch {
	case images.IsIndexType(desc.MediaType):
		return j.index(ctx, desc)
	case images.IsManifestType(desc.MediaType):
		return j.imageManifest(ctx, desc)
	case images.IsConfigType(desc.MediaType):
		return nil, j.config(ctx, desc)
	}
	return nil, nil
}

// check refuses what is too large or of a type that nothing here understands,
// before anything is fetched.
func check(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil || desc.Digest.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %q: only sha256 is supported: %w", desc.Digest, errdefs.ErrInvalidArgument)
	}
	limit := int64(0)
	switch {
	case images.IsIndexType(desc.MediaType), images.IsManifestType(desc.MediaType):
		limit = maxManifest
	case images.IsConfigType(desc.MediaType):
		limit = maxConfig
	case images.IsLayerType(desc.MediaType):
		if err := store.CheckLayerType(desc.MediaType); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unsupported media type %s: it is not part of a container image: %w", desc.MediaType, errdefs.ErrInvalidArgument)
	}
	if desc.Size <= 0 || limit > 0 && desc.Size > limit {
		return fmt.Errorf("%s %s has a size of %d bytes, which is not acceptable (limit %d): %w", desc.MediaType, desc.Digest, desc.Size, limit, errdefs.ErrInvalidArgument)
	}
	return nil
}

// index chooses the one manifest to go on with.
func (j *job) index(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	j.mu.Lock()
	depth := j.depth[desc.Digest] + 1
	j.mu.Unlock()
	if depth > maxDepth {
		return nil, fmt.Errorf("index %s: indexes are nested more than %d deep: %w", desc.Digest, maxDepth, errdefs.ErrInvalidArgument)
	}
	children, err := images.Children(ctx, j.content, desc)
	if err != nil {
		return nil, err
	}
	// All children get a label, also those that are not fetched: a later pull
	// for another platform must not take this one's away.
	if err := j.label(ctx, desc, children); err != nil {
		return nil, err
	}
	want := Matcher(j.platform)
	children = slices.DeleteFunc(children, func(d ocispec.Descriptor) bool {
		return d.Platform == nil && !images.IsIndexType(d.MediaType) && len(children) > 1 ||
			d.Platform != nil && !want.Match(*d.Platform)
	})
	slices.SortStableFunc(children, func(a, b ocispec.Descriptor) int {
		switch {
		case a.Platform == nil || b.Platform == nil:
			return 0
		case want.Less(*a.Platform, *b.Platform):
			return -1
		case want.Less(*b.Platform, *a.Platform):
			return 1
		}
		return 0
	})
	if len(children) == 0 {
		return nil, noPlatform(platformOrDefault(j.platform))
	}
	child := children[0]
	child.URLs, child.Data = nil, nil
	j.mu.Lock()
	j.depth[child.Digest] = depth
	j.mu.Unlock()
	return []ocispec.Descriptor{child}, nil
}

// Matcher tells which platforms will do for p, or for the host if p is nil, and
// which is best.
func Matcher(p *ocispec.Platform) platforms.MatchComparer {
	if p == nil {
		return platforms.Default()
	}
	return platforms.Only(*p)
}

func platformOrDefault(p *ocispec.Platform) ocispec.Platform {
	if p == nil {
		return platforms.DefaultSpec()
	}
	return *p
}

func (j *job) imageManifest(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	children, err := images.Children(ctx, j.content, desc)
	if err != nil {
		return nil, err
	}
	for i := range children {
		children[i].URLs, children[i].Data, children[i].Annotations = nil, nil, nil
		if err := check(children[i]); err != nil {
			return nil, err
		}
	}
	config, layers := children[0], children[1:]
	if !images.IsConfigType(config.MediaType) {
		return nil, fmt.Errorf("manifest %s: the config is a %s: %w", desc.Digest, config.MediaType, errdefs.ErrInvalidArgument)
	}
	if len(layers) > MaxLayers {
		return nil, fmt.Errorf("manifest %s has %d layers; max depth exceeded (%d): %w", desc.Digest, len(layers), MaxLayers, errdefs.ErrInvalidArgument)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.manifest, j.image = desc, ocispec.Manifest{Config: config, Layers: layers}
	for _, l := range layers {
		if !images.IsLayerType(l.MediaType) {
			return nil, fmt.Errorf("manifest %s: layer %s is a %s: %w", desc.Digest, l.Digest, l.MediaType, errdefs.ErrInvalidArgument)
		}
		if j.layers[l.Digest] != nil {
			continue
		}
		j.layers[l.Digest] = &layer{total: l.Size, extract: j.progress.Counter(l.Digest, j.words.unpacking, l.Size)}
		j.order = append(j.order, l.Digest)
	}
	return children, j.label(ctx, desc, children)
}

// label makes the store keep the children as long as their parent.
func (j *job) label(ctx context.Context, desc ocispec.Descriptor, children []ocispec.Descriptor) error {
	_, err := images.SetChildrenLabels(j.content, func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return children, nil
	})(ctx, desc)
	return err
}

// config checks the config against the manifest before a layer is unpacked.
func (j *job) config(ctx context.Context, desc ocispec.Descriptor) error {
	data, err := content.ReadBlob(ctx, j.content, desc)
	if err != nil {
		return err
	}
	var c ocispec.Image
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("image config %s: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	j.at.Mark("manifest and config")
	j.mu.Lock()
	defer j.mu.Unlock()
	if c.RootFS.Type != "" && c.RootFS.Type != "layers" {
		return fmt.Errorf("image config %s: unknown root file system type %q: %w", desc.Digest, c.RootFS.Type, errdefs.ErrInvalidArgument)
	}
	if n, m := len(c.RootFS.DiffIDs), len(j.image.Layers); n != m {
		return fmt.Errorf("mismatched image rootfs and manifest layers: %d and %d: %w", n, m, errdefs.ErrInvalidArgument)
	}
	if j.platform != nil && c.OS != "" && !platforms.Only(*j.platform).Match(c.Platform) {
		return fmt.Errorf("image with reference %s was found but does not provide the specified platform (%s): %w",
			reference.FamiliarString(j.ref), platforms.FormatAll(*j.platform), errdefs.ErrNotFound)
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return fmt.Errorf("image config %s: layer %q: %w: %w", desc.Digest, d, err, errdefs.ErrInvalidArgument)
		}
	}
	chains := identity.ChainIDs(slices.Clone(c.RootFS.DiffIDs))
	j.chains = map[string]digest.Digest{}
	known := true
	for i, chain := range chains {
		j.chains[chain.String()] = j.image.Layers[i].Digest
		if known {
			_, err := j.snapshots.Stat(ctx, chain.String())
			_, missing := j.content.Info(ctx, j.image.Layers[i].Digest)
			known = err == nil && missing == nil
		}
		j.layers[j.image.Layers[i].Digest].existed = known
		j.chainID = chain
	}
	if known {
		return nil // as Docker: an image that is there already has no lines about layers
	}
	for _, d := range j.order {
		if !j.layers[d].existed {
			j.say(d, j.words.waiting, jsonstream.Progress{})
		}
	}
	return nil
}

// extracting is called by the applier.
func (j *job) extracting(desc ocispec.Descriptor, n int64) {
	j.mu.Lock()
	l := j.layers[desc.Digest]
	j.mu.Unlock()
	if l != nil && !l.finished {
		l.extract.At(n)
	}
}

// committed is called when a layer's snapshot is complete.
func (j *job) committed(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.chains[name]
	if l := j.layers[d]; l != nil && !l.finished {
		l.finished = true
		j.say(d, j.words.done, jsonstream.Progress{HideCounts: true})
	}
}

// watchedSnapshotter tells when the unpacker has finished a layer.
type watchedSnapshotter struct {
	snapshots.Snapshotter
	committed func(name string)
}

func (s watchedSnapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	err := s.Snapshotter.Commit(ctx, name, key, opts...)
	if err == nil || errdefs.IsAlreadyExists(err) {
		s.committed(name)
	}
	return err
}

func noPlatform(p ocispec.Platform) error {
	return fmt.Errorf("no matching manifest for %s in the manifest list entries: no match for platform in manifest: %w", platforms.FormatAll(p), errdefs.ErrNotFound)
}
