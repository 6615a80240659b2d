package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/plugin"
)

// Store holds the volumes below one directory. Safe for concurrent use.
type Store struct {
	root   string
	events *event.Bus
	log    *slog.Logger
	// plugins has the drivers besides the local one; nil: there are none.
	plugins *plugin.Registry
	quotas  Quotas // nil: there are none

	mu     sync.Mutex
	byName map[string]*entry
	byID   map[string]*entry

	settled atomic.Bool // see Settle
}

// entry is a volume in memory.
type entry struct {
	// Guarded by Store.mu. The volume is replaced, never changed.
	vol   *Volume
	users map[string]int // references: containers that exist
	going bool           // its driver is removing it: nobody may begin to use it

	// busy is held while the volume is mounted, unmounted, renamed, restored or
	// removed. It is taken before Store.mu.
	busy   sync.Mutex
	mounts map[string]int // uses by what runs; guarded by busy
	// remote is where the volume's driver has mounted it, by user; guarded by
	// busy.
	remote map[string]string
}

// Open prepares root (0701, so that remapped users can reach their volumes),
// removes what a killed daemon left half made, and reads the volumes. One that
// cannot be read is left alone and logged. log may be nil; plugins, too: then there
// is only the local driver; and quotas: then no volume's size can be limited.
func Open(root string, bus *event.Bus, log *slog.Logger, plugins *plugin.Registry, quotas Quotas) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(root, 0o701); err != nil {
		return nil, fmt.Errorf("open volumes: %w", err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("open volumes: %w", err)
	}
	s := &Store{root: root, events: bus, log: log, plugins: plugins, quotas: quotas, byName: map[string]*entry{}, byID: map[string]*entry{}}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if strings.HasPrefix(e.Name(), halfMade) || strings.HasPrefix(e.Name(), halfGone) {
			if err := s.discard(e.Name()); err != nil {
				return nil, fmt.Errorf("open volumes: %w", err)
			}
			continue
		}
		if !e.IsDir() || CheckName(e.Name()) != nil {
			continue
		}
		if err := s.sweepVolume(e.Name()); err != nil {
			return nil, fmt.Errorf("open volumes: %w", err)
		}
		v, err := load(dir)
		if err == nil {
			err = v.lift(dir)
		}
		if err == nil && s.byID[v.ID] != nil {
			err = fmt.Errorf("it has the ID of %s: it was copied by hand", s.byID[v.ID].vol.Name)
		}
		if err != nil {
			log.Error("cannot read a volume; it is left as it is", "volume", e.Name(), "err", err)
			continue
		}
		s.keepLimit(v)
		e := s.add(v)
		if v.remote() {
			e.remote = loadMounted(dir)
			v.Path = e.path()
		}
	}
	return s, nil
}

// add makes a volume known. The caller holds mu, or nobody else knows s.
func (s *Store) add(v *Volume) *entry {
	e := &entry{vol: v, users: map[string]int{}, mounts: map[string]int{}, remote: map[string]string{}}
	s.byName[v.Name], s.byID[v.ID] = e, e
	return e
}

// dir is the directory of a volume.
func (s *Store) dir(name string) string { return filepath.Join(s.root, name) }

func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Get returns a volume by name.
func (s *Store) Get(name string) (Volume, error) {
	e, err := s.find(name)
	if err != nil {
		return Volume{}, err
	}
	return s.current(e), nil
}

// Resolve returns the volume with an ID whatever its name is now. Without an ID,
// or if that volume does not exist any more, it is the one with the name.
func (s *Store) Resolve(id, name string) (Volume, error) {
	s.mu.Lock()
	if e := s.byID[id]; e != nil {
		defer s.mu.Unlock()
		return *e.vol, nil
	}
	s.mu.Unlock()
	return s.Get(name)
}

func (s *Store) current(e *entry) Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *e.vol
}

// find returns an entry by name.
func (s *Store) find(name string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[name]
	if e == nil {
		return nil, fail(errdefs.ErrNotFound, "get %s: no such volume", name)
	}
	return e, nil
}

// lock finds a volume and holds it. The caller unlocks busy.
func (s *Store) lock(name string) (*entry, error) {
	for {
		e, err := s.find(name)
		if err != nil {
			return nil, err
		}
		e.busy.Lock()
		s.mu.Lock()
		same := s.byName[name] == e
		s.mu.Unlock()
		if same {
			return e, nil
		}
		e.busy.Unlock() // it was renamed or removed meanwhile
	}
}

// List returns the volumes that a filter selects, by name.
func (s *Store) List(f Filters) ([]Volume, error) {
	if err := f.only("dangling", "driver", "label", "label!", "name"); err != nil {
		return nil, err
	}
	dangling, asked, err := f.boolean("dangling")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Volume
	for _, e := range s.byName {
		if asked && dangling != (len(e.users) == 0) || !f.any("driver", e.vol.Driver) || !f.names(e.vol.Name) || !f.labels(e.vol.Labels) {
			continue
		}
		out = append(out, *e.vol)
	}
	slices.SortFunc(out, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (e *entry) userNames() []string {
	names := make([]string, 0, len(e.users))
	for u := range e.users {
		names = append(names, u)
	}
	slices.Sort(names)
	return names
}

// Running returns the containers that run with a volume.
func (s *Store) Running(name string) []string {
	e, err := s.lock(name)
	if err != nil {
		return nil
	}
	defer e.busy.Unlock()
	var out []string
	for u := range e.mounts {
		if u != copying {
			out = append(out, u)
		}
	}
	slices.Sort(out)
	return out
}

// allNames are who refers to the volume, and who only uses it now. The caller
// holds mu and busy.
func (e *entry) allNames() []string {
	names := e.userNames()
	for u := range e.mounts {
		if !slices.Contains(names, u) {
			names = append(names, u)
		}
	}
	return names
}

// Use marks the volume as used by user (a container's ID) until release is
// called; a volume that does not exist cannot be used. The volume is found as
// by Resolve.
func (s *Store) Use(id, name, user string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		e = s.byName[name]
	}
	if e == nil {
		return nil, fail(errdefs.ErrNotFound, "get %s: no such volume", name)
	}
	if e.going {
		return nil, fail(errdefs.ErrConflict, "volume %s is being removed", e.vol.Name)
	}
	e.users[user]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if e.users[user]--; e.users[user] == 0 {
			delete(e.users, user)
		}
	}), nil
}

// Publish announces something about a volume, as events of Docker's volumes
// look, with pairs of further attributes.
func (s *Store) Publish(v Volume, action events.Action, extra ...string) {
	attrs := map[string]string{"driver": v.Driver}
	for i := 0; i+1 < len(extra); i += 2 {
		attrs[extra[i]] = extra[i+1]
	}
	s.events.Publish(events.Message{Type: events.VolumeEventType, Action: action, Actor: events.Actor{ID: v.Name, Attributes: attrs}})
}

// Size is how many bytes the files of a volume have.
func (s *Store) Size(ctx context.Context, name string) (int64, error) {
	e, err := s.find(name)
	if err != nil {
		return 0, err
	}
	v := s.current(e)
	return s.ownSize(ctx, &v), nil
}

// Users returns the containers that refer to a volume.
func (s *Store) Users(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byName[name]; e != nil {
		return e.userNames()
	}
	return nil
}
