// Package mirror passes images of other registries on and keeps what it passed:
// a pull-through cache, for one namespace of the Hub or for every name that is
// nobody's (then the Hub serves as an engine's mirror of docker.io).
//
// An upstream is called once for all clients that want the same at the same
// time: they read along while it arrives. Nothing is kept, and no client gets
// its last byte, before its digest is right. The upstream's credentials are
// sealed in the database, sent to the upstream and the token servers named with
// it and to nobody else: not after a redirect, not to a realm that the upstream
// makes up. An upstream that asks for patience (429, Retry-After) is left alone
// that long; meanwhile, and while it cannot be reached, tags are answered with
// what they were. Everybody who may read a mirror may read all that its
// credentials open.
package mirror

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Mirror is one configured upstream.
type Mirror struct {
	ID string `json:"id"`
	// Prefix is the namespace whose repositories are the upstream's, or "".
	Prefix   string `json:"prefix"`
	Upstream string `json:"upstream"` // https://HOST[:PORT]
	Username string `json:"username,omitempty"`
	// AuthHosts are the hosts of token servers, beside the upstream's own, that
	// may get the credentials.
	AuthHosts []string `json:"auth_hosts,omitempty"`
	// Public mirrors are read by everybody, others by who has signed in.
	Public bool `json:"public"`
	// FreshSeconds is how long a tag is answered without asking the upstream.
	FreshSeconds int64 `json:"fresh_seconds"`
	// Capacity bounds what is kept, in bytes; the least recently used goes.
	Capacity int64     `json:"capacity"`
	Created  time.Time `json:"created"`

	password string // sealed
}

// Spec is what an administrator decides about a mirror.
type Spec struct {
	Prefix   string `json:"prefix"`
	Upstream string `json:"upstream"`
	Username string `json:"username,omitempty"`
	// Password of an update that is empty leaves what is there, while Username stays.
	Password     string   `json:"password,omitempty"`
	AuthHosts    []string `json:"auth_hosts,omitempty"`
	Public       bool     `json:"public"`
	FreshSeconds int64    `json:"fresh_seconds,omitempty"` // 0 is 300
	Capacity     int64    `json:"capacity,omitempty"`      // 0 is 50 GB
}

// Options configure a Service.
type Options struct {
	DB      *store.DB
	Catalog *catalog.Service
	Key     *seal.Key
	Policy  outbound.Policy
	// Dir is where content is kept, on this node.
	Dir string
	Log *slog.Logger // nil means slog.Default
	// RootCAs are the authorities that upstreams' certificates are checked
	// against; nil means the system's.
	RootCAs *x509.CertPool
}

// Service passes on. Run it.
type Service struct {
	Options
	mu        sync.Mutex
	upstreams map[string]*upstream // by the mirror's id
}

// New makes a Service and removes what a crash left half.
func New(o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	half, err := filepath.Glob(filepath.Join(o.Dir, "*", "part-*"))
	if err != nil {
		return nil, err
	}
	for _, f := range half {
		if err := os.Remove(f); err != nil {
			return nil, err
		}
	}
	return &Service{Options: o, upstreams: map[string]*upstream{}}, nil
}

// Run ends what is under way when ctx ends.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.upstreams {
		u.close()
	}
	clear(s.upstreams)
	return nil
}

var (
	prefixForm = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9.-]+(?::[0-9]{1,5})?$|^\[[0-9a-fA-F:]+\](?::[0-9]{1,5})?$`)
)

const (
	defaultFresh    = 300
	defaultCapacity = 50_000_000_000
	dockerHub       = "registry-1.docker.io"
	dockerAuth      = "auth.docker.io"
)

// check fills in what was left out; docker.io is where Docker's registry is.
func (s *Service) check(spec *Spec) error {
	if spec.Prefix != "" && !prefixForm.MatchString(spec.Prefix) {
		return fmt.Errorf("%q cannot be a namespace: %w", spec.Prefix, errdefs.ErrInvalidArgument)
	}
	switch strings.TrimSuffix(spec.Upstream, "/") {
	case "docker.io", "https://docker.io", "https://index.docker.io":
		spec.Upstream = "https://" + dockerHub
	}
	if !strings.Contains(spec.Upstream, "://") {
		spec.Upstream = "https://" + spec.Upstream
	}
	u, err := s.Policy.ParseURL(spec.Upstream)
	if err != nil {
		return err
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return fmt.Errorf("upstream %q: only a host, without a path: %w", spec.Upstream, errdefs.ErrInvalidArgument)
	}
	spec.Upstream = u.Scheme + "://" + u.Host
	if u.Host == dockerHub && !slices.Contains(spec.AuthHosts, dockerAuth) {
		spec.AuthHosts = append(spec.AuthHosts, dockerAuth)
	}
	for _, h := range spec.AuthHosts {
		if !hostForm.MatchString(h) {
			return fmt.Errorf("auth_hosts: %q is no host: %w", h, errdefs.ErrInvalidArgument)
		}
	}
	if u.Scheme == "http" && spec.Username != "" {
		return fmt.Errorf("upstream %q: credentials are only sent over https: %w", spec.Upstream, errdefs.ErrInvalidArgument)
	}
	if spec.FreshSeconds < 0 || spec.Capacity < 0 {
		return fmt.Errorf("fresh_seconds and capacity cannot be negative: %w", errdefs.ErrInvalidArgument)
	}
	if spec.FreshSeconds == 0 {
		spec.FreshSeconds = defaultFresh
	}
	if spec.Capacity == 0 {
		spec.Capacity = defaultCapacity
	}
	return nil
}

// deed is what an administrator does with a mirror.
func deed(action, id string, detail ...string) catalog.Deed {
	return catalog.Deed{Action: action, Target: "mirror " + id, Detail: strings.Join(detail, " ")}
}

// Create configures a mirror, for who administers the Hub.
func (s *Service) Create(ctx context.Context, by account.Principal, spec Spec) (m Mirror, err error) {
	invalid := s.check(&spec)
	id := store.NewID()
	err = s.Catalog.Act(ctx, by, deed("mirror.create", id, spec.Prefix, spec.Upstream), func(tx *store.Tx, _ catalog.Found) error {
		if invalid != nil { // said only to who may
			return invalid
		}
		if err := free(ctx, tx, spec.Prefix); err != nil {
			return err
		}
		m, err = s.save(ctx, tx, id, spec, true)
		return err
	})
	return m, err
}

// free refuses a prefix that is somebody's name: their repositories would be
// hidden behind the upstream's.
func free(ctx context.Context, tx *store.Tx, prefix string) error {
	if prefix == "" {
		return nil
	}
	var n int64
	err := tx.QueryRow(ctx, "SELECT count(*) FROM namespaces WHERE name = ?", prefix).Scan(&n)
	if err == nil && n > 0 {
		err = fmt.Errorf("the namespace %s belongs to somebody: choose another prefix: %w", prefix, errdefs.ErrFailedPrecondition)
	}
	return err
}

// Update changes a mirror, for who administers the Hub; what it keeps stays
// while the upstream does.
func (s *Service) Update(ctx context.Context, by account.Principal, id string, spec Spec) (m Mirror, err error) {
	invalid := s.check(&spec)
	var moved bool
	err = s.Catalog.Act(ctx, by, deed("mirror.update", id, spec.Prefix, spec.Upstream), func(tx *store.Tx, _ catalog.Found) error {
		if invalid != nil {
			return invalid
		}
		old, err := get(ctx, tx, id)
		if err != nil {
			return err
		}
		spec := spec
		if spec.Prefix != old.Prefix { // a name that was taken later is no reason to end the mirror
			if err := free(ctx, tx, spec.Prefix); err != nil {
				return err
			}
		}
		if spec.Password == "" && spec.Username == old.Username && spec.Username != "" {
			if spec.Upstream != old.Upstream || !subset(spec.AuthHosts, old.AuthHosts) {
				return fmt.Errorf("the password is needed again when the upstream or its token servers change: %w", errdefs.ErrInvalidArgument)
			}
			if spec.Password, err = s.Key.Open(purpose(id), old.password); err != nil {
				return err
			}
		}
		if moved = spec.Upstream != old.Upstream; moved {
			for _, table := range []string{"mirror_manifests", "mirror_tags"} {
				if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE mirror = ?", id); err != nil {
					return err
				}
			}
		}
		m, err = s.save(ctx, tx, id, spec, false)
		return err
	})
	if err != nil {
		return Mirror{}, err
	}
	s.drop(id)
	if moved {
		err = os.RemoveAll(filepath.Join(s.Dir, id))
	}
	return m, err
}

func subset(list, of []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(of, s) })
}

func (s *Service) save(ctx context.Context, tx *store.Tx, id string, spec Spec, create bool) (Mirror, error) {
	hosts, err := json.Marshal(spec.AuthHosts)
	if err != nil {
		return Mirror{}, err
	}
	sealed := ""
	if spec.Password != "" {
		sealed = s.Key.Seal(purpose(id), spec.Password)
	}
	values := []any{spec.Prefix, spec.Upstream, spec.Username, sealed, string(hosts), store.Bool(spec.Public), spec.FreshSeconds, spec.Capacity}
	query := "UPDATE mirrors SET prefix = ?, upstream = ?, username = ?, password = ?, auth_hosts = ?, public = ?, fresh = ?, capacity = ? WHERE id = ?"
	if create {
		values = append(values, time.Now().Unix())
		query = "INSERT INTO mirrors (prefix, upstream, username, password, auth_hosts, public, fresh, capacity, created, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	}
	if _, err := tx.Exec(ctx, query, append(values, id)...); err != nil {
		if errdefs.IsAlreadyExists(err) {
			err = fmt.Errorf("there is a mirror for %q already: %w", spec.Prefix, errdefs.ErrAlreadyExists)
		}
		return Mirror{}, err
	}
	return get(ctx, tx, id)
}

// Remove ends a mirror and removes what it kept, for who administers the Hub.
func (s *Service) Remove(ctx context.Context, by account.Principal, id string) error {
	err := s.Catalog.Act(ctx, by, deed("mirror.delete", id), func(tx *store.Tx, _ catalog.Found) error {
		n, err := tx.Exec(ctx, "DELETE FROM mirrors WHERE id = ?", id)
		if err == nil && n == 0 {
			err = unknown(id)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.drop(id)
	return os.RemoveAll(filepath.Join(s.Dir, id))
}

// List returns all mirrors, for who administers the Hub.
func (s *Service) List(ctx context.Context, by account.Principal) ([]Mirror, error) {
	if _, err := s.Catalog.May(ctx, s.DB, by, catalog.Place{}, catalog.Admin); err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, selectMirror+" ORDER BY prefix")
	return store.Collect(rows, err, scan)
}

// Get finds a mirror by its id, for who administers the Hub.
func (s *Service) Get(ctx context.Context, by account.Principal, id string) (Mirror, error) {
	if _, err := s.Catalog.May(ctx, s.DB, by, catalog.Place{}, catalog.Admin); err != nil {
		return Mirror{}, err
	}
	return get(ctx, s.DB, id)
}

func get(ctx context.Context, q store.Querier, id string) (Mirror, error) {
	m, err := scan(q.QueryRow(ctx, selectMirror+" WHERE id = ?", id))
	if errdefs.IsNotFound(err) {
		err = unknown(id)
	}
	return m, err
}

// Match finds the mirror that a repository's name belongs to, and the name that
// its upstream has for it. found is false when it belongs to none.
func (s *Service) Match(ctx context.Context, name string) (m Mirror, upstream string, found bool, err error) {
	prefix, rest, nested := strings.Cut(name, "/")
	if !nested {
		prefix = ""
	}
	m, err = scan(s.DB.QueryRow(ctx, selectMirror+" WHERE prefix = ? OR prefix = '' ORDER BY prefix DESC LIMIT 1", prefix))
	if errdefs.IsNotFound(err) {
		return Mirror{}, "", false, nil
	}
	if err != nil {
		return Mirror{}, "", false, err
	}
	upstream = name
	if m.Prefix != "" {
		upstream = rest
	}
	if u, err := url.Parse(m.Upstream); err == nil && u.Host == dockerHub && !strings.Contains(upstream, "/") {
		upstream = "library/" + upstream
	}
	return m, upstream, true, nil
}

const selectMirror = "SELECT id, prefix, upstream, username, password, auth_hosts, public, fresh, capacity, created FROM mirrors"

func scan(row store.Scanner) (Mirror, error) {
	var m Mirror
	var hosts string
	var public, created int64
	if err := row.Scan(&m.ID, &m.Prefix, &m.Upstream, &m.Username, &m.password, &hosts, &public, &m.FreshSeconds, &m.Capacity, &created); err != nil {
		return Mirror{}, err
	}
	m.Public, m.Created = public != 0, time.Unix(created, 0).UTC()
	return m, json.Unmarshal([]byte(hosts), &m.AuthHosts)
}

func unknown(id string) error {
	return fmt.Errorf("there is no mirror %q: %w", id, errdefs.ErrNotFound)
}

// Sealed is where upstreams' passwords are.
func Sealed() []seal.Column {
	return []seal.Column{{Table: "mirrors", Key: "id", Name: "password", Purpose: purpose}}
}

func purpose(id string) string { return "mirror " + id }

// upstream is the caller of a mirror's upstream, made when it is first needed.
func (s *Service) upstream(m Mirror) (*upstream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.upstreams[m.ID]; u != nil {
		if reflect.DeepEqual(u.mirror, m) {
			return u, nil
		}
		u.close() // another node changed it
	}
	password := ""
	if m.password != "" {
		var err error
		if password, err = s.Key.Open(purpose(m.ID), m.password); err != nil {
			return nil, err
		}
	}
	u, err := newUpstream(m, password, s.Options)
	if err == nil {
		s.upstreams[m.ID] = u
	}
	return u, err
}

// drop forgets the caller of an upstream that was changed.
func (s *Service) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.upstreams[id]; u != nil {
		u.close()
		delete(s.upstreams, id)
	}
}
