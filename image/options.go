package image

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/image/policy"
	"github.com/berth-engine/berth/image/pull"
	"github.com/berth-engine/berth/image/push"
	"github.com/berth-engine/berth/image/remote"
	"github.com/berth-engine/berth/image/store"
)

// Registries says how registries are reached.
type Registries = remote.Registries

// Policy decides which images may come from registries.
type Policy = policy.Policy

// LoadPolicy reads a Policy; nil for the path "".
func LoadPolicy(path string) (*Policy, error) {
	if path == "" {
		return nil, nil
	}
	return policy.Load(path)
}

// Driver is the name of the storage driver, as the API gives it.
const Driver = store.Snapshotter

// Options configures Open.
type Options struct {
	Root         string       // directory of the store; made if absent
	Registries   Registries   // see SetRegistries
	Policy       *Policy      // see SetPolicy
	Events       *event.Bus   // nil: no events
	Log          *slog.Logger // nil: silent
	MaxDownloads int          // layers fetched at once over all pulls; 0: 3, as Docker
	MaxUploads   int          // blobs sent at once over all pushes; 0: 5, as Docker
	// CompactAfter is how long nothing changes before layers are compacted
	// (docs/images.md); 0: never.
	CompactAfter time.Duration
	Limits       Limits // see SetLimits
}

// Store is the image store. Its methods may be called from several goroutines.
type Store struct {
	db      *store.DB
	client  *remote.Client
	puller  *pull.Puller
	pusher  *push.Pusher
	events  *event.Bus
	log     *slog.Logger
	work    sync.WaitGroup               // pulls and deferred removals
	tending sync.WaitGroup               // what goes on until Close
	awake   atomic.Pointer[func() error] // gives tend's thread a priority; nil: it has one

	// write serialises changes of names, so that each is a decision and its
	// transaction in one. It is taken before mu.
	write sync.Mutex

	viewMu sync.Mutex
	cached *view

	compactor compactor
	uses      *uses

	closing context.Context //nolint:containedctx // ends when Close begins
	close   context.CancelFunc

	mu         sync.Mutex
	closed     bool
	settled    bool // all holders are known, see Sweep
	registries Registries
	policy     *Policy
	limits     Limits
	pulls      map[string]*sharedPull
	active     map[string]bool // leases of running pulls
	holders    map[*holder]struct{}
	chains     map[digest.Digest]*chain
}

var errClosed = fmt.Errorf("the image store is closed: %w", errdefs.ErrUnavailable)

// Open opens or makes the store below o.Root. A store that another process has
// open is errdefs.FailedPrecondition.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(ctx, store.Options{Root: o.Root, Log: o.Log})
	if err != nil {
		return nil, err
	}
	used, err := openUses(usesPath(o.Root))
	if err != nil {
		o.Log.Warn("when images were used is not known", "error", err)
	}
	client := remote.New()
	closing, cancel := context.WithCancel(context.Background())
	s := &Store{
		compactor: newCompactor(), uses: used, limits: o.Limits, db: db, client: client, pusher: push.New(db, o.MaxUploads), puller: pull.New(db, client, o.MaxDownloads, o.Log), events: o.Events, log: o.Log,
		closing: closing, close: cancel, registries: o.Registries, policy: o.Policy,
		pulls: map[string]*sharedPull{}, active: map[string]bool{}, holders: map[*holder]struct{}{}, chains: map[digest.Digest]*chain{},
	}
	s.tending.Go(func() { s.tend(o.CompactAfter) })
	return s, nil
}

// Close ends pulls under way, waits for the work the store has started and
// closes its files. Root file systems that were handed out stay valid.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.close()
	for _, p := range s.pulls {
		p.cancel(errClosed)
	}
	s.mu.Unlock()
	if awake := s.awake.Load(); awake != nil {
		// On a busy machine it would not even come to hear of the end.
		if err := (*awake)(); err != nil {
			s.log.Debug("images are tended at low priority to the end", "error", err)
		}
	}
	s.work.Wait()
	s.tending.Wait()
	s.saveUses()
	s.client.Close()
	return s.db.Close()
}

// SetRegistries replaces the registry settings; pulls already under way keep
// the old ones.
func (s *Store) SetRegistries(r Registries) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registries = r
}

// SetTransfers replaces MaxDownloads and MaxUploads for what begins from now on.
func (s *Store) SetTransfers(downloads, uploads int) {
	s.puller.SetDownloads(downloads)
	s.pusher.SetUploads(uploads)
}

// Registries returns the registry settings in force.
func (s *Store) Registries() Registries {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registries
}

// SetPolicy replaces the rules about which images may come from registries; nil:
// all may. It is about images that come after, by a pull or as the base of a build.
func (s *Store) SetPolicy(p *Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policy = p
}

// Admit asks the policy whether an image may come from its registry for somebody
// who does not use Pull: PermissionDenied if not. One that is here already may.
func (s *Store) Admit(ctx context.Context, ref reference.Named, target digest.Digest, auth *registry.AuthConfig) error {
	s.mu.Lock()
	rules, registries := s.policy, s.registries
	s.mu.Unlock()
	if v, err := s.view(ctx); err == nil && len(v.sharing(target)) > 0 {
		return nil
	}
	return s.puller.Admit(ctx, rules, ref, target, registries, auth)
}
