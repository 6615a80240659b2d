// Package catalog knows the Hub's repositories: who may do what with them, what
// they say of themselves, their tags with history, and their manifests' relations.
// The contents are the registry's; the tags are only here.
//
// A role is looked up when it is used, so a right that was taken away ends at
// once. Who may not read a repository gets the answer for one that does not
// exist, from every method.
package catalog

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Options of a service; the zero value works.
type Options struct {
	// Open gives everybody every role, also who has not signed in, and makes
	// new repositories public: a Hub without accounts.
	Open bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service is safe for concurrent use. Run must be running for pulls to be
// counted.
type Service struct {
	db    *store.DB
	open  bool
	now   func() time.Time
	hooks []Hook

	mu    sync.Mutex
	pulls map[pull]count
}

// New makes the catalogue in db.
func New(db *store.DB, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{db: db, open: o.Open, now: o.Now, pulls: map[pull]count{}}
}

// Open reports whether everybody may do everything.
func (s *Service) Open() bool { return s.open }

// Hook is told of a change of a tag or manifest in the transaction that makes
// it, before it is made. An error refuses the change. A hook may write to the
// transaction: it is there if and only if the change is.
type Hook func(ctx context.Context, tx *store.Tx, c Change) error

// OnChange adds a hook. Add all before the service is used.
func (s *Service) OnChange(h Hook) { s.hooks = append(s.hooks, h) }

func (s *Service) tell(ctx context.Context, tx *store.Tx, c Change) error {
	for _, h := range s.hooks {
		if err := h(ctx, tx, c); err != nil {
			return err
		}
	}
	return nil
}

// Repository is a named place for images.
type Repository struct {
	ID          string    `json:"id"`
	Namespace   string    `json:"namespace"`
	Name        string    `json:"name"` // whole, with the namespace
	Public      bool      `json:"public"`
	Description string    `json:"description"`
	Pulls       int64     `json:"pulls"`
	Stars       int64     `json:"stars"` // how many users marked it
	Tags        int       `json:"tags"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	// Storage is the repository's name in the registry's storage, which stays
	// when it is renamed.
	Storage string `json:"-"`

	namespaceID string
}

const columns = `SELECT r.id, n.id, n.name, r.name, r.storage, r.public, r.description, r.pulls, r.created, r.updated,
	(SELECT count(*) FROM tags t WHERE t.repository = r.id), (SELECT count(*) FROM stars s WHERE s.repository = r.id) AS stars FROM repositories r JOIN namespaces n ON n.id = r.namespace`

func scan(s store.Scanner) (r Repository, err error) {
	var public, created, updated int64
	err = s.Scan(&r.ID, &r.namespaceID, &r.Namespace, &r.Name, &r.Storage, &public, &r.Description, &r.Pulls, &created, &updated, &r.Tags, &r.Stars)
	r.Public, r.Created, r.Updated = public == 1, time.Unix(created, 0).UTC(), time.Unix(updated, 0).UTC()
	return r, err
}

// name is what distribution takes for a repository.
var name = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$`)

// maxName is how long a repository's name may be.
const maxName = 255

// ValidName reports why something cannot be a repository's name, or nil.
func ValidName(s string) error {
	if len(s) > maxName || !name.MatchString(s) {
		return fmt.Errorf("%w: %q is not a repository's name: use namespace/name, of lower-case letters and digits with single dots, underscores or hyphens between them", errdefs.ErrInvalidArgument, s)
	}
	return nil
}

// NamespaceOf is the first component of a repository's name.
func NamespaceOf(name string) string {
	namespace, _, _ := strings.Cut(name, "/")
	return namespace
}

func unknown(name string) error {
	return fmt.Errorf("%w: there is no repository %q", errdefs.ErrNotFound, name)
}

// find looks a repository up by its name, or a former one.
func (s *Service) find(ctx context.Context, q store.Querier, name string) (Repository, error) {
	r, err := scan(q.QueryRow(ctx, columns+" WHERE r.name = ?", name))
	if errdefs.IsNotFound(err) {
		r, err = scan(q.QueryRow(ctx, columns+" JOIN redirects d ON d.repository = r.id WHERE d.name = ?", name))
	}
	if errdefs.IsNotFound(err) {
		return Repository{}, unknown(name)
	}
	return r, err
}

// Find returns a repository that somebody may read, and their role there.
func (s *Service) Find(ctx context.Context, by account.Principal, name string) (Repository, Role, error) {
	r, err := s.find(ctx, s.db, name)
	if err != nil {
		return Repository{}, None, err
	}
	role, err := s.roleIn(ctx, s.db, by, r)
	if err != nil {
		return Repository{}, None, err
	}
	if role < Read {
		return Repository{}, None, unknown(name)
	}
	return r, role, nil
}

// ByID returns a repository by its id, whoever asks: for the Hub's own work.
func (s *Service) ByID(ctx context.Context, id string) (Repository, error) {
	return byID(ctx, s.db, id)
}

func byID(ctx context.Context, q store.Querier, id string) (Repository, error) {
	r, err := scan(q.QueryRow(ctx, columns+" WHERE r.id = ?", id))
	if errdefs.IsNotFound(err) {
		return Repository{}, unknown(id)
	}
	return r, err
}

// All calls f with each repository, in the order of their names: for the Hub's
// own work, such as collecting garbage.
func (s *Service) All(ctx context.Context, f func(Repository) error) error {
	for after := ""; ; {
		rows, err := s.db.Query(ctx, columns+" WHERE r.name COLLATE BINARY > ? ORDER BY r.name COLLATE BINARY LIMIT 100", after)
		page, err := store.Collect(rows, err, scan)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			if err := f(r); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Name
	}
}
