package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/fault"
)

// LocalDriver is the only driver of this version.
const LocalDriver = "local"

const (
	dataDir  = "_data"
	optsFile = "opts.json"
	halfMade = ".new-"
	halfGone = ".old-"
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// Store holds the volumes below one directory. Safe for concurrent use.
type Store struct {
	root   string
	events *event.Bus

	mu    sync.Mutex
	users map[string]map[string]int // volume → user → count
}

// Volume is one volume as it is on disk.
type Volume struct {
	Name      string
	Driver    string
	Labels    map[string]string `json:",omitempty"`
	Options   map[string]string `json:",omitempty"`
	CreatedAt time.Time
	// Anonymous volumes were named by the engine and go with `rm -v`.
	Anonymous bool `json:",omitempty"`

	// Path is the directory of the data; not stored.
	Path string `json:"-"`
}

// CreateOptions describes a volume to make.
type CreateOptions struct {
	Name    string // "": an anonymous volume with a random name
	Driver  string // "": local
	Labels  map[string]string
	Options map[string]string // the local driver takes none yet
}

// Open prepares root (0701, so that remapped users can reach their volumes)
// and removes what a killed daemon left half made.
func Open(root string, bus *event.Bus) (*Store, error) {
	if err := os.MkdirAll(root, 0o701); err != nil {
		return nil, fmt.Errorf("open volumes: %w", err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("open volumes: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), halfMade) || strings.HasPrefix(e.Name(), halfGone) {
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return nil, fmt.Errorf("open volumes: %w", err)
			}
		}
	}
	return &Store{root: root, events: bus, users: map[string]map[string]int{}}, nil
}

// CheckName reports whether name may name a volume, as Docker words it.
func CheckName(name string) error {
	if len(name) == 1 {
		return fail(errdefs.ErrInvalidArgument, "volume name is too short, names should be at least two alphanumeric characters")
	}
	if !namePattern.MatchString(name) || len(name) > 255 {
		return fail(errdefs.ErrInvalidArgument, "%q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. "+
			"If you intended to pass a host directory, use absolute path", name)
	}
	return nil
}

// failure is an error of one of errdefs' kinds whose text is only what a user
// should read.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func fail(kind error, format string, args ...any) error {
	return &failure{kind, fmt.Sprintf(format, args...)}
}

// Create makes a volume, or returns the one that has this name already.
func (s *Store) Create(_ context.Context, o CreateOptions) (Volume, error) {
	if o.Driver != "" && o.Driver != LocalDriver {
		return Volume{}, fail(errdefs.ErrNotFound, "error looking up volume plugin %s: plugin %q not found", o.Driver, o.Driver)
	}
	if len(o.Options) > 0 {
		return Volume{}, fail(errdefs.ErrNotImplemented, "options of the local volume driver are not supported yet")
	}
	v := Volume{Name: o.Name, Driver: LocalDriver, Labels: o.Labels, Options: o.Options, CreatedAt: time.Now().UTC()}
	if v.Name == "" {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails
		v.Name, v.Anonymous = hex.EncodeToString(b[:]), true
	}
	if err := CheckName(v.Name); err != nil {
		return Volume{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, err := s.get(v.Name); err == nil || !errdefs.IsNotFound(err) {
		return old, err
	}
	if err := s.make(v); err != nil {
		return Volume{}, fmt.Errorf("create volume %s: %w", v.Name, err)
	}
	v.Path = filepath.Join(s.root, v.Name, dataDir)
	s.publish(v, events.ActionCreate)
	return v, nil
}

func (s *Store) make(v Volume) (err error) {
	tmp := filepath.Join(s.root, halfMade+v.Name)
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.MkdirAll(filepath.Join(tmp, dataDir), 0o701); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(tmp, dataDir), 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, optsFile), b, 0o600); err != nil {
		return err
	}
	if err := fault.Point("volume.create.rename"); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(s.root, v.Name))
}

// Get returns a volume by name.
func (s *Store) Get(name string) (Volume, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(name)
}

func (s *Store) get(name string) (Volume, error) {
	if err := CheckName(name); err != nil {
		return Volume{}, err
	}
	b, err := os.ReadFile(filepath.Join(s.root, name, optsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Volume{}, fail(errdefs.ErrNotFound, "get %s: no such volume", name)
	}
	if err != nil {
		return Volume{}, fmt.Errorf("get %s: %w", name, err)
	}
	var v Volume
	if err := json.Unmarshal(b, &v); err != nil {
		return Volume{}, fmt.Errorf("get %s: %w", name, err)
	}
	v.Name, v.Path = name, filepath.Join(s.root, name, dataDir)
	return v, nil
}

// Use marks the volume as used by user (a container's ID) until release is
// called; a volume that does not exist cannot be used.
func (s *Store) Use(name, user string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.get(name); err != nil {
		return nil, err
	}
	if s.users[name] == nil {
		s.users[name] = map[string]int{}
	}
	s.users[name][user]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.users[name][user]--; s.users[name][user] == 0 {
			delete(s.users[name], user)
		}
		if len(s.users[name]) == 0 {
			delete(s.users, name)
		}
	}), nil
}

// Remove deletes a volume and its data; a volume in use is a conflict.
func (s *Store) Remove(_ context.Context, name string) error {
	s.mu.Lock()
	v, err := s.get(name)
	if err == nil && len(s.users[name]) > 0 {
		users := make([]string, 0, len(s.users[name]))
		for u := range s.users[name] {
			users = append(users, u)
		}
		err = fail(errdefs.ErrConflict, "remove %s: volume is in use - [%s]", name, strings.Join(users, ", "))
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	// The rename takes the name away at once; the data may take long.
	gone := filepath.Join(s.root, halfGone+name)
	err = os.Rename(filepath.Join(s.root, name), gone)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	s.publish(v, events.ActionDestroy)
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func (s *Store) publish(v Volume, action events.Action) {
	if s.events == nil {
		return
	}
	s.events.Publish(events.Message{
		Type: events.VolumeEventType, Action: action,
		Actor: events.Actor{ID: v.Name, Attributes: map[string]string{"driver": v.Driver}},
	})
}
