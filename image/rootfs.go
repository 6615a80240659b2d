package image

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/image/store"
)

// Rootfs is an image's unpacked file system.
type Rootfs struct {
	Lower   []string // overlay lower directories, topmost first, absolute, never empty
	Release func()   // to be called when the directories are no longer needed; a second call does nothing
}

// chain is what is known of one image file system, by the chain ID of its
// layers. While refs or holders count, its lease keeps it.
type chain struct {
	once  sync.Mutex // held while lower is found out
	lower []string   // nil: not known yet
	refs  int        // Rootfs not released
}

const leasePrefix = "rootfs-"

// Rootfs returns the directories of an image's layers. They stay until Release,
// whatever happens to the image. Of img only ChainID is needed, and Manifest if
// the layers are not unpacked yet: the file system of a container whose image
// was removed by force can be had by the chain ID it remembers. After a
// pull no call writes, and after the first for a chain none reads the disk.
func (s *Store) Rootfs(ctx context.Context, img *Image) (*Rootfs, error) {
	if img.ChainID == "" {
		return &Rootfs{Lower: []string{s.db.EmptyDir()}, Release: func() {}}, nil
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	c := s.chains[img.ChainID]
	if c == nil {
		c = &chain{}
		s.chains[img.ChainID] = c
	}
	c.refs++
	lower := c.lower
	s.mu.Unlock()
	release := sync.OnceFunc(func() { s.leave(img.ChainID, c) })
	if lower == nil {
		var err error
		if lower, err = s.openChain(ctx, c, img); err != nil {
			release()
			return nil, fmt.Errorf("root file system of image %s: %w", img.ID, err)
		}
	}
	return &Rootfs{Lower: slices.Clone(lower), Release: release}, nil
}

// openChain finds the directories of a chain, after making its lease: whatever
// is collected later, this is not.
func (s *Store) openChain(ctx context.Context, c *chain, img *Image) ([]string, error) {
	c.once.Lock()
	defer c.once.Unlock()
	s.mu.Lock()
	lower := c.lower
	s.mu.Unlock()
	if lower != nil {
		return lower, nil
	}
	// While refs counts, nobody deletes the lease: looking first saves a write.
	_, err := s.db.Leases.ListResources(s.db.Context(ctx), leases.Lease{ID: leasePrefix + img.ChainID.String()})
	if errdefs.IsNotFound(err) {
		err = s.db.Update(ctx, func(ctx context.Context) error { return s.lease(ctx, img.ChainID) })
	}
	if err != nil {
		return nil, err
	}
	lower, err = s.directories(ctx, img.ChainID)
	if errdefs.IsNotFound(err) && img.Manifest.Digest != "" {
		// The image is here but not unpacked: the lease is to own the result.
		ctx := leases.WithLease(s.db.Context(ctx), leasePrefix+img.ChainID.String())
		if err := s.puller.Unpack(ctx, img.Manifest); err != nil {
			return nil, err
		}
		s.compactor.wake()
		lower, err = s.directories(ctx, img.ChainID)
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	c.lower = lower
	s.mu.Unlock()
	return lower, nil
}

func (s *Store) directories(ctx context.Context, id digest.Digest) ([]string, error) {
	var lower []string
	for name := id.String(); name != ""; {
		dir, parent, err := s.db.SnapshotDir(ctx, name)
		if err != nil {
			return nil, err
		}
		lower, name = append(lower, dir), parent
	}
	return lower, nil
}

// lease makes the lease of a chain, if it is not there; ctx must be one of
// db.Update.
func (s *Store) lease(ctx context.Context, id digest.Digest) error {
	if id == "" {
		return nil
	}
	l, err := s.db.Leases.Create(ctx, leases.WithID(leasePrefix+id.String()))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.db.Leases.AddResource(ctx, l, leases.Resource{ID: id.String(), Type: "snapshots/" + store.Snapshotter})
}

// leave ends one use of a chain.
func (s *Store) leave(id digest.Digest, c *chain) {
	s.mu.Lock()
	c.refs--
	s.mu.Unlock()
	s.mayDrop(id)
}

// Holder is a container that uses an image.
type Holder struct {
	ContainerID string
	Running     func() bool // nil: never; must not call back into the store
}

type holder struct {
	Holder
	image, chain digest.Digest
}

// Hold registers a container as user of an image until release is called: the
// image's file system stays, and Remove refuses the image as Docker does. Of img
// only ID and ChainID are needed. It writes nothing: after a restart of the
// daemon all containers register again, before Sweep.
func (s *Store) Hold(img *Image, h Holder) (release func()) {
	entry := &holder{h, img.ID, img.ChainID}
	s.mu.Lock()
	s.holders[entry] = struct{}{}
	s.mu.Unlock()
	s.uses.mark(img.ID)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		delete(s.holders, entry)
		s.mu.Unlock()
		s.uses.mark(entry.image)
		s.mayDrop(entry.chain)
	})
}

// Containers counts the holders of the image with that ID.
func (s *Store) Containers(id digest.Digest) int { return len(s.holdersOf(id)) }

func (s *Store) holdersOf(id digest.Digest) []Holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Holder
	for h := range s.holders {
		if h.image == id {
			list = append(list, h.Holder)
		}
	}
	slices.SortFunc(list, func(a, b Holder) int { return strings.Compare(a.ContainerID, b.ContainerID) })
	return list
}

// held tells whether somebody uses the chain; the caller has s.mu.
func (s *Store) held(id digest.Digest) bool {
	if c := s.chains[id]; c != nil && c.refs > 0 {
		return true
	}
	for h := range s.holders {
		if h.chain == id {
			return true
		}
	}
	return false
}

// mayDrop starts the removal of a chain that its last user has left, if no image
// has it.
func (s *Store) mayDrop(id digest.Digest) {
	s.mu.Lock()
	skip := id == "" || s.closed || !s.settled || s.held(id)
	if !skip {
		s.work.Add(1)
	}
	s.mu.Unlock()
	if skip {
		return
	}
	go func() {
		defer s.work.Done()
		ctx := context.Background()
		dropped, err := s.drop(ctx, id)
		if err != nil {
			s.log.Warn("cannot release an image's layers", "chain", id, "error", err)
		}
		if dropped {
			s.db.Collect()
		}
	}()
}

// drop ends the lease of a chain that neither an image nor a container uses.
func (s *Store) drop(ctx context.Context, id digest.Digest) (bool, error) {
	s.write.Lock()
	defer s.write.Unlock()
	return s.dropLocked(ctx, id)
}

// dropLocked is drop for a caller that has s.write.
func (s *Store) dropLocked(ctx context.Context, id digest.Digest) (bool, error) {
	used, err := s.imageHas(ctx, id)
	if err != nil || used {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held(id) {
		return false, nil
	}
	err = s.db.Leases.Delete(s.db.Context(ctx), leases.Lease{ID: leasePrefix + id.String()})
	if err != nil && !errdefs.IsNotFound(err) {
		return false, err
	}
	delete(s.chains, id)
	return err == nil, nil
}

// imageHas tells whether a named or dangling image has the chain.
func (s *Store) imageHas(ctx context.Context, id digest.Digest) (bool, error) {
	v, err := s.view(ctx)
	if err != nil {
		return false, err
	}
	for m := range s.allVariants(ctx, v) {
		if m.chainID() == id {
			return true, nil
		}
	}
	return false, nil
}

// allVariants are the variants of all images, but those that cannot be read.
func (s *Store) allVariants(ctx context.Context, v *view) iter.Seq[*variant] {
	return func(yield func(*variant) bool) {
		for _, r := range v.records {
			list, err := s.variants(ctx, v, r.Target)
			if err != nil {
				s.log.Warn("unreadable image", "name", r.Name, "error", err)
				continue
			}
			for _, m := range list {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// Sweep drops the file systems of removed images that no container uses any
// more. The engine calls it once, after every container has registered with
// Hold; until then the end of a Hold removes nothing.
func (s *Store) Sweep(ctx context.Context) error {
	s.mu.Lock()
	s.settled = true
	s.mu.Unlock()
	list, err := s.db.Leases.List(s.db.Context(ctx))
	if err != nil {
		return fmt.Errorf("sweep image store: %w", err)
	}
	for _, l := range list {
		if id, ok := strings.CutPrefix(l.ID, leasePrefix); ok {
			if _, err := s.drop(ctx, digest.Digest(id)); err != nil {
				return fmt.Errorf("sweep image store: %w", err)
			}
		}
	}
	s.db.Collect()
	return nil
}

// keepHeld makes leases for those chains of an image about to be removed that
// containers use; ctx must be one of db.Update.
func (s *Store) keepHeld(ctx context.Context, list []*variant, target images.Image) error {
	for _, m := range list {
		s.mu.Lock()
		held := s.held(m.chainID())
		s.mu.Unlock()
		if held {
			if err := s.lease(ctx, m.chainID()); err != nil {
				return fmt.Errorf("keep the layers of %s: %w", target.Name, err)
			}
		}
	}
	return nil
}
