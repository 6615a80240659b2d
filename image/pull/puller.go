package pull

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/berth-engine/berth/image/policy"
	"github.com/berth-engine/berth/image/progress"
	"github.com/berth-engine/berth/image/remote"
	"github.com/berth-engine/berth/image/store"
	"github.com/berth-engine/berth/trace"
)

// DefaultDownloads is how many layers are fetched at once; it is Docker's.
const DefaultDownloads = 3

// Puller fetches images into one store. Its pulls share downloads in progress
// and one limit on how many layers are fetched at once.
type Puller struct {
	db     *store.DB
	log    *slog.Logger
	limit  atomic.Pointer[semaphore.Weighted]
	client *remote.Client

	// Pause is how long a pull waits before it asks a second time for something
	// that failed; each time after that it waits twice as long.
	Pause time.Duration
}

// New makes a Puller. downloads is how many layers are fetched at once over all
// pulls; 0 means DefaultDownloads.
func New(db *store.DB, client *remote.Client, downloads int, log *slog.Logger) *Puller {
	p := &Puller{db: db, log: log, client: client, Pause: time.Second}
	p.SetDownloads(downloads)
	return p
}

// SetDownloads changes how many layers pulls that begin from now on fetch at once;
// those under way keep their limit.
func (p *Puller) SetDownloads(downloads int) {
	if downloads <= 0 {
		downloads = DefaultDownloads
	}
	p.limit.Store(semaphore.NewWeighted(int64(downloads)))
}

// Request is what to pull.
type Request struct {
	Ref        reference.Named      // with tag or digest, as oci.ParseName makes it
	Platform   *ocispec.Platform    // nil: the host's
	Auth       *registry.AuthConfig // nil: anonymous
	Registries remote.Registries
	Policy     *policy.Policy // nil: everything may come
	Progress   *progress.Stream
}

// Result is what was pulled.
type Result struct {
	Target   ocispec.Descriptor // what the name stands for: an index or a manifest
	Manifest ocispec.Descriptor
	ChainID  digest.Digest // name of the snapshot with all layers; "" if there is none
}

// Fetch brings an image for one platform into the store and unpacks it. The
// context must come from the store and carry a lease, which alone keeps the
// content until the caller names it. After an error the caller ends the lease.
func (p *Puller) Fetch(ctx context.Context, r Request) (Result, error) {
	ctx = remote.Notify(ctx, r.Progress.Once())
	if err := r.Policy.Refuses(r.Ref); err != nil {
		return Result{}, err
	}
	repo, err := p.client.Open(ctx, r.Registries, r.Ref, r.Auth)
	if err != nil {
		return Result{}, err
	}
	target, err := repo.Resolve(ctx)
	if err != nil {
		return Result{}, err
	}
	at := trace.From(ctx)
	at.Mark("resolve")
	// What is fetched from here on is named by its digest.
	if err := p.Admit(ctx, r.Policy, r.Ref, target.Digest, r.Registries, r.Auth); err != nil {
		return Result{}, err
	}
	fetcher, err := repo.Fetcher(ctx)
	if err != nil {
		return Result{}, err
	}
	j := &job{
		content: p.db.Content, snapshots: p.db.Snapshots, fetcher: fetcher,
		ref: r.Ref, source: repo.Source(), platform: r.Platform, progress: r.Progress, words: pulling,
		attempts: r.Registries.Tries(), pause: p.Pause, at: at,
		depth: map[digest.Digest]int{target.Digest: 0}, layers: map[digest.Digest]*layer{},
	}
	tag := r.Ref.String() // by a digest the whole name, as Docker has it
	_, digested := r.Ref.(reference.Digested)
	if named, ok := r.Ref.(reference.Tagged); ok && !digested {
		tag = named.Tag()
	}
	r.Progress.Line(tag, "Pulling from "+reference.Path(r.Ref))
	if err := p.dispatch(ctx, j, target); err != nil {
		return Result{}, err
	}
	at.Mark("the rest of the layers is unpacked")
	return j.result(target)
}

// dispatch walks the image from its target down. The unpacker takes the layers
// out of the walk: it fetches them all and unpacks them in order meanwhile.
func (p *Puller) dispatch(ctx context.Context, j *job, target ocispec.Descriptor) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside := p.db.Beside()
	unpacker, err := unpack.NewUnpacker(ctx, p.db.Content,
		unpack.WithUnpackPlatform(unpack.Platform{
			Platform:    platforms.All, // the walk has chosen already
			Snapshotter: watchedSnapshotter{Snapshotter: beside, committed: j.committed}, SnapshotterKey: store.Snapshotter,
			SnapshotterCapabilities: []string{snapshots.RebaseCap}, Applier: beside,
			ApplyOpts: []diff.ApplyOpt{diff.WithProgress(j.extracting)},
		}),
		unpack.WithUnpackLimiter(atOnce()),
		unpack.WithLimiter(p.limit.Load()),
		unpack.WithDuplicationSuppressor(p.db.Locks),
		unpack.WithFetchAllContent(),
	)
	if err != nil {
		return err
	}
	err = images.Dispatch(ctx, unpacker.Unpack(j), nil, target)
	if err != nil {
		cancel()
	}
	if _, unpackErr := unpacker.Wait(); err == nil {
		err = unpackErr
	}
	return err
}

// atOnce is how many layers of one image are unpacked beside each other: what is
// more would only take memory.
func atOnce() *semaphore.Weighted { return semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))) }

// Unpack makes the snapshots of an image whose content is in the store.
func (p *Puller) Unpack(ctx context.Context, manifest ocispec.Descriptor) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside := p.db.Beside()
	unpacker, err := unpack.NewUnpacker(ctx, p.db.Content,
		unpack.WithUnpackPlatform(unpack.Platform{
			Platform: platforms.All, Snapshotter: beside, SnapshotterKey: store.Snapshotter,
			SnapshotterCapabilities: []string{snapshots.RebaseCap}, Applier: beside,
		}),
		unpack.WithUnpackLimiter(atOnce()),
		unpack.WithDuplicationSuppressor(p.db.Locks),
	)
	if err != nil {
		return err
	}
	err = images.Dispatch(ctx, unpacker.Unpack(images.ChildrenHandler(p.db.Content)), nil, manifest)
	if err != nil {
		cancel()
	}
	if _, unpackErr := unpacker.Wait(); err == nil {
		err = unpackErr
	}
	return err
}

func (j *job) result(target ocispec.Descriptor) (Result, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.manifest.Digest == "" {
		return Result{}, fmt.Errorf("%s has no image manifest: %w", reference.FamiliarString(j.ref), errdefs.ErrInvalidArgument)
	}
	for _, d := range j.order {
		if l := j.layers[d]; !l.finished {
			l.finished = true
			status := "Pull complete"
			if l.existed {
				status = "Already exists"
			}
			j.progress.Layer(d, status, jsonstream.Progress{HideCounts: true})
		}
	}
	return Result{Target: target, Manifest: j.manifest, ChainID: j.chainID}, nil
}
