// Package gc removes blobs that no repository links any more, while the
// registry is read and written: there is no read-only mode.
//
// What is kept: every manifest that a repository has (tagged or not; what to do
// with untagged ones is a matter of retention), and every layer and config that
// one of the repository's manifests names. A collection first reads all
// repositories (mark), then removes the links to layers that no manifest of
// their repository wants, then the blobs that no link leads to (sweep). A
// blob's data goes after its links, so that a crash anywhere leaves garbage for
// the next collection and never a link to nothing.
//
// A push relies on blobs before a manifest names them: it uploads them, mounts
// them, or is told that they are there. Every such request passes the Gate,
// which notes the time in the database first. The sweep removes nothing that a
// push relied on within the grace period before the collection began, or
// since; whether it did is decided in the transaction that also removes, so
// that a push either comes first, and the blob stays, or waits and finds it
// gone, and uploads it.
package gc

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// Options configure a Collector.
type Options struct {
	DB      *store.DB
	Catalog *catalog.Service
	Gate    *Gate
	// Driver is the registry's storage.
	Driver driver.StorageDriver
	// Every is how often Run collects; 0 means never by itself.
	Every time.Duration
	// Log is told of collections by Run; nil means slog.Default.
	Log *slog.Logger
}

// Collector collects. One collection runs at a time on a node; collections of
// several nodes do not harm each other. Run it.
type Collector struct {
	Options
	running sync.Mutex
	wanted  chan Report // by Begin
	begun   sync.Map    // ids of collections of this process
}

// New makes a Collector.
func New(o Options) *Collector {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Collector{Options: o, wanted: make(chan Report, 1)}
}

// Report is what a collection removed, or would remove.
type Report struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"` // zero while it runs
	DryRun  bool      `json:"dry_run,omitempty"`
	Blobs   int       `json:"blobs"`
	Bytes   int64     `json:"bytes"` // of those blobs
	Links   int       `json:"links"`
	// Spared is what nothing refers to, and a push relied on lately.
	Spared int `json:"spared"`
	// Unreadable are repositories that kept all links because a manifest of
	// theirs cannot be read.
	Unreadable []string `json:"unreadable,omitempty"`
	Error      string   `json:"error,omitempty"`
}

func (c *Collector) collect(ctx context.Context, cutoff time.Time, r *Report) error {
	if err := c.removed(ctx, r.DryRun); err != nil {
		return fmt.Errorf("remove repositories: %w", err)
	}
	m := marks{wanted: map[digest.Digest]struct{}{}}
	if err := m.mark(ctx, c.Driver, repositoriesRoot); err != nil {
		return fmt.Errorf("read the repositories: %w", err)
	}
	r.Unreadable = m.spared
	for _, l := range m.links {
		ran, err := c.remove(ctx, l.target, cutoff, l.path, r.DryRun)
		if err != nil {
			return fmt.Errorf("remove %s: %w", l.path, err)
		}
		if ran {
			r.Links++
		} else {
			m.wanted[l.target] = struct{}{}
			r.Spared++
		}
	}
	if err := c.sweepBlobs(ctx, cutoff, m.wanted, r); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if r.DryRun {
		return nil
	}
	return c.Gate.forget(ctx, cutoff)
}

// removed removes what is left of repositories that the catalogue let go. A
// place that it does not know is no reason: the database may be an old one.
func (c *Collector) removed(ctx context.Context, dry bool) error {
	rows, err := c.DB.Query(ctx, "SELECT storage FROM gc_removed")
	places, err := store.Collect(rows, err, func(s store.Scanner) (p string, err error) { return p, s.Scan(&p) })
	if err != nil || dry {
		return err
	}
	for _, p := range places {
		if err := c.Driver.Delete(ctx, path.Join(repositoriesRoot, p)); err != nil && !gone(err) {
			return err
		}
		// What a push that was under way adds later is removed once the row is
		// old.
		if _, err := c.DB.Exec(ctx, "DELETE FROM gc_removed WHERE storage = ? AND removed < ?", p, c.Gate.now().Add(-24*time.Hour).Unix()); err != nil {
			return err
		}
	}
	return nil
}

// remove removes what is at p, a link to blob or the blob, unless a push relies
// on the blob.
func (c *Collector) remove(ctx context.Context, blob digest.Digest, cutoff time.Time, p string, dry bool) (bool, error) {
	if dry {
		var touched int64
		rows, err := c.DB.Query(ctx, "SELECT touched FROM gc_touches WHERE digest = ?", blob.String())
		found, err := store.Collect(rows, err, func(s store.Scanner) (int64, error) { return touched, s.Scan(&touched) })
		return len(found) == 0 || touched < cutoff.Unix(), err
	}
	return c.Gate.sweep(ctx, blob, cutoff, func(*store.Tx) error {
		if err := c.Driver.Delete(ctx, p); err != nil && !gone(err) {
			return err
		}
		return nil
	})
}

// sweepBlobs removes the blobs that are not wanted.
func (c *Collector) sweepBlobs(ctx context.Context, cutoff time.Time, wanted map[digest.Digest]struct{}, r *Report) error {
	algorithms, err := list(ctx, c.Driver, blobsRoot)
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		shards, err := list(ctx, c.Driver, a)
		if err != nil {
			return err
		}
		for _, shard := range shards {
			blobs, err := list(ctx, c.Driver, shard)
			if err != nil {
				return err
			}
			for _, dir := range blobs {
				d := digest.NewDigestFromEncoded(digest.Algorithm(path.Base(a)), path.Base(dir))
				if _, ok := wanted[d]; ok || d.Validate() != nil {
					continue
				}
				if err := c.sweepBlob(ctx, d, dir, cutoff, r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *Collector) sweepBlob(ctx context.Context, d digest.Digest, dir string, cutoff time.Time, r *Report) error {
	info, err := c.Driver.Stat(ctx, path.Join(dir, "data"))
	if err != nil && !gone(err) {
		return err
	}
	// What somebody wrote past the gate, such as a tool on the storage, gets
	// its grace, too.
	if err == nil && info.ModTime().After(cutoff) {
		r.Spared++
		return nil
	}
	ran, e := c.remove(ctx, d, cutoff, dir, r.DryRun)
	if e != nil {
		return e
	}
	switch {
	case !ran:
		r.Spared++
	case err == nil: // an empty folder, which a crash left, is no blob
		r.Blobs++
		r.Bytes += info.Size()
	}
	return nil
}
