// Package autobuild builds images from Git when somebody pushes: to a Git
// repository that the Hub serves, or elsewhere, from where a signed hook tells
// of it. A build runs in an engine that the administrator connected (Docker's
// API: berthd or another), with the commit as its context and nothing of the
// Hub but a robot account that may push to the one repository for an hour.
//
// Builds wait in the database, as many run at once as their engine allows, and
// their logs are there, too, while they run. A build whose Hub was killed is
// tried once more. Git itself is Debian's program, which the Hub runs without
// configuration or hooks; what it fetches passes hub/outbound.
package autobuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Kinds of sources.
const (
	Hosted = "hub" // a Git repository that the Hub serves
	Remote = "git" // one elsewhere
)

// Source is where a repository's images are built from.
type Source struct {
	Kind string `json:"kind"`
	// URL is the Git repository's, of Remote ones: http(s), without credentials.
	URL string `json:"url,omitempty"`
	// Hook is the id in /hooks/ID, where pushes are told.
	Hook    string    `json:"hook"`
	Engine  string    `json:"engine"`
	Rules   []Rule    `json:"rules"`
	Created time.Time `json:"created"`
	// Username is who a Remote one is fetched as, "" is nobody.
	Username string `json:"username,omitempty"`

	repository, secret, password string // the last two sealed
}

// Rule says what is built of a push. Exactly one of Branch and Tag is given.
type Rule struct {
	// Branch and Tag are patterns of names (path.Match; * matches no slash).
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
	// Context is the folder that is built, "" is all; Dockerfile is relative to it.
	Context    string `json:"context,omitempty"`
	Dockerfile string `json:"dockerfile,omitempty"`
	// Tags are the image's: text with {ref} (the branch's or tag's name) and
	// {sha} (12 digits of the commit). None means {ref}, and latest for main or master.
	Tags []string          `json:"tags,omitempty"`
	Args map[string]string `json:"args,omitempty"` // build arguments
	// Platforms are what the image is for, as linux/arm64; none means the
	// engine's own. Of several, each is built, and the tags lead to all.
	Platforms []string `json:"platforms,omitempty"`
}

// Engine is one that builds.
type Engine struct {
	Name string
	// Host is the Docker API's address: unix:///PATH or tcp://HOST:PORT.
	Host string
	// CA, Cert and Key are PEM files for TLS, or empty.
	CA, Cert, Key string
	// Registry is how the engine reaches this Hub: HOST[:PORT].
	Registry string
	// Parallel is how many builds it runs at once.
	Parallel int
}

// Credentials makes and unmakes the robot that a build pushes with.
type Credentials interface {
	// Open returns a login that may push to the repository until expires, and
	// an id by which Close ends it, also when the Hub was killed meanwhile. A
	// login of "" is none, and none is needed.
	Open(ctx context.Context, repository, build string, expires time.Time) (id, login, secret string, err error)
	Close(ctx context.Context, id string) error
}

// Options configure a Service.
type Options struct {
	DB      *store.DB
	Catalog *catalog.Service
	Key     *seal.Key
	Policy  outbound.Policy
	Dir     string // of the Git repositories
	// GitCA is a file of the authorities (PEM) that Git servers' certificates are
	// checked against; "" is the system's.
	GitCA       string
	Engines     []Engine
	Credentials Credentials
	// Index makes an image for several platforms of its parts, which were pushed,
	// and has tags lead to it (registry.Registry.Index).
	Index func(ctx context.Context, repository string, parts []registry.Part, tags []string) (digest.Digest, error)
	// Ended is told of each build that ended; nil tells nobody.
	Ended func(ctx context.Context, repository string, b Build)
	Log   *slog.Logger // nil means slog.Default
}

// Service builds. Run it.
type Service struct {
	Options
	git  *git
	wake chan struct{}

	mu      sync.Mutex
	running map[string]context.CancelCauseFunc // by the build's id
	waiting map[chan struct{}]string           // followers of logs, by the build's id
}

// New makes a Service. Without git it works, and says so to who needs it.
func New(o Options) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	for i := range o.Engines {
		o.Engines[i].Parallel = max(o.Engines[i].Parallel, 1)
	}
	g, err := newGit(o.Dir, o.GitCA, o.Policy)
	if err != nil {
		return nil, err
	}
	return &Service{
		Options: o, git: g, wake: make(chan struct{}, 1),
		running: map[string]context.CancelCauseFunc{}, waiting: map[chan struct{}]string{},
	}, nil
}

// Spec is what a user decides about a source.
type Spec struct {
	Kind   string `json:"kind"`
	URL    string `json:"url,omitempty"`
	Engine string `json:"engine,omitempty"` // "" is the first
	Rules  []Rule `json:"rules"`
	// Secret signs the hook's calls; empty makes one, or leaves what is there.
	Secret string `json:"secret,omitempty"`
	// Username and Password fetch a Remote one that is private, over https. A
	// Password that is empty leaves what is there, while Username and URL stay.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

const maxRules = 20

// tagForm is what distribution takes for a tag.
var tagForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

var refForm = regexp.MustCompile(`^[^\x00-\x20\x7f~^:\\]+$`)

func (s *Service) check(spec *Spec) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf(format+": %w", append(a, errdefs.ErrInvalidArgument)...)
	}
	switch spec.Kind {
	case Hosted:
		if spec.URL+spec.Username+spec.Password != "" {
			return bad("a Git repository of the Hub has no url, username and password")
		}
		if err := s.git.there(); err != nil {
			return err
		}
	case Remote:
		u, err := s.Policy.ParseURL(spec.URL)
		if err != nil {
			return err
		}
		if u.Scheme != "https" && spec.Username+spec.Password != "" {
			return bad("%s: a name and password are sent over https alone", spec.URL)
		}
		if err := s.git.there(); err != nil {
			return err
		}
	default:
		return bad("kind %q: it is %s or %s", spec.Kind, Hosted, Remote)
	}
	if len(s.Engines) == 0 {
		return fmt.Errorf("no engine is connected: the Hub's administrator may connect one (--build-engine): %w", errdefs.ErrFailedPrecondition)
	}
	if spec.Engine == "" {
		spec.Engine = s.Engines[0].Name
	}
	if _, err := s.engine(spec.Engine); err != nil {
		return err
	}
	if len(spec.Rules) == 0 || len(spec.Rules) > maxRules {
		return bad("%d rules: there must be one to %d", len(spec.Rules), maxRules)
	}
	if len(spec.Secret) > 256 || len(spec.Username) > 256 || len(spec.Password) > 4096 || strings.ContainsAny(spec.Username+spec.Password, "\r\n\x00") {
		return bad("the secret and the username have at most 256 bytes, the password 4096, of one line")
	}
	if spec.Password != "" && spec.Username == "" {
		return bad("a password needs a username; where tokens have none, give any")
	}
	for i, r := range spec.Rules {
		if err := r.check(); err != nil {
			return bad("rule %d: %s", i+1, err)
		}
	}
	return nil
}

func (s *Service) engine(name string) (Engine, error) {
	i := slices.IndexFunc(s.Engines, func(e Engine) bool { return e.Name == name })
	if i < 0 {
		return Engine{}, fmt.Errorf("there is no engine %q: %w", name, errdefs.ErrInvalidArgument)
	}
	return s.Engines[i], nil
}

func (r Rule) check() error {
	pattern := r.Branch + r.Tag
	if (r.Branch == "") == (r.Tag == "") {
		return errors.New("either branch or tag")
	}
	if _, err := path.Match(pattern, "x"); err != nil || !refForm.MatchString(pattern) || len(pattern) > 200 {
		return fmt.Errorf("%q is no pattern of names", pattern)
	}
	for _, p := range []string{r.Context, r.Dockerfile} {
		if p != "" && (path.IsAbs(p) || path.Clean(p) != strings.TrimSuffix(p, "/") || strings.HasPrefix(p, "..") || !refForm.MatchString(p)) {
			return fmt.Errorf("%q is no path within the repository", p)
		}
	}
	if len(r.Tags) > 10 || len(r.Args) > 50 || len(r.Platforms) > 10 {
		return errors.New("at most 10 tags, 50 arguments and 10 platforms")
	}
	if _, err := r.platforms(); err != nil {
		return err
	}
	for _, t := range r.Tags {
		// Filled in, it begins with what it begins with here.
		if !tagForm.MatchString(strings.NewReplacer("{ref}", "x", "{sha}", "x").Replace(t)) {
			return fmt.Errorf("%q makes no tag of an image", t)
		}
	}
	return nil
}

// platforms are the rule's, each once.
func (r Rule) platforms() ([]ocispec.Platform, error) {
	var list []ocispec.Platform
	seen := map[string]bool{}
	for _, text := range r.Platforms {
		p, err := platforms.Parse(text)
		if err != nil || !strings.Contains(text, "/") {
			return nil, fmt.Errorf("%q is no platform such as linux/arm64", text)
		}
		p = platforms.Normalize(p)
		if name := platforms.Format(p); seen[name] {
			return nil, fmt.Errorf("the platform %s is there twice", name)
		} else {
			seen[name] = true
		}
		list = append(list, p)
	}
	return list, nil
}

// matches reports whether a rule is for a ref.
func (r Rule) matches(ref string) bool {
	pattern, prefix := r.Branch, "refs/heads/"
	if r.Tag != "" {
		pattern, prefix = r.Tag, "refs/tags/"
	}
	name, ok := strings.CutPrefix(ref, prefix)
	matched, err := path.Match(pattern, name)
	return ok && err == nil && matched
}

var notInTag = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// tags are the image's, of a commit of a ref.
func (r Rule) tags(ref, sha string) []string {
	_, name, _ := strings.Cut(strings.TrimPrefix(ref, "refs/"), "/")
	templates := r.Tags
	if len(templates) == 0 {
		templates = []string{"{ref}"}
		if name == "main" || name == "master" {
			templates = append(templates, "latest")
		}
	}
	safe := strings.TrimLeft(notInTag.ReplaceAllString(name, "-"), ".-")
	if safe == "" {
		safe = "_"
	}
	fill := strings.NewReplacer("{ref}", safe, "{sha}", sha[:min(12, len(sha))])
	var tags []string
	for _, t := range templates {
		tags = append(tags, fill.Replace(t))
	}
	for i, t := range tags {
		tags[i] = t[:min(len(t), 128)]
	}
	return slices.Compact(tags)
}

// SetSource configures a repository's builds, for who administers it. The secret
// is returned when it is new.
func (s *Service) SetSource(ctx context.Context, by account.Principal, repository string, spec Spec) (src Source, secret string, err error) {
	invalid := s.check(&spec)
	rules, err := json.Marshal(spec.Rules)
	if err != nil {
		return Source{}, "", err
	}
	d := deed(repository, catalog.Admin, "build.source")
	d.Detail = spec.Kind
	err = s.Catalog.Act(ctx, by, d, func(tx *store.Tx, found catalog.Found) error {
		if invalid != nil { // said only to who may
			return invalid
		}
		old, err := source(ctx, tx, found.ID)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		next := Source{Kind: spec.Kind, URL: spec.URL, Engine: spec.Engine, Hook: old.Hook, Created: old.Created, secret: old.secret, repository: found.ID}
		if secret = spec.Secret; next.Hook == "" {
			next.Hook, next.Created = store.NewID(), time.Now()
			if secret == "" {
				secret = store.NewID() + store.NewID()
			}
		}
		if secret != "" {
			next.secret = s.Key.Seal(purpose(found.ID), secret)
		}
		if err := s.login(&next, old, spec); err != nil {
			return err
		}
		if spec.Kind == Hosted {
			if err := s.git.create(ctx, found.ID); err != nil { // what is there already stays
				return err
			}
		}
		if err := next.save(ctx, tx, string(rules)); err != nil {
			return err
		}
		src, err = source(ctx, tx, found.ID)
		return err
	})
	if err != nil {
		return Source{}, "", err
	}
	return src, secret, nil
}

// deed is what somebody does with a repository's builds.
func deed(repository string, least catalog.Role, action string) catalog.Deed {
	return catalog.Deed{Place: catalog.Place{Repository: repository}, Least: least, Action: action}
}

// login seals what a source elsewhere is fetched with. The password may be left
// out of a change that sends it nowhere else.
func (s *Service) login(next *Source, old Source, spec Spec) error {
	switch next.Username = spec.Username; {
	case spec.Password != "":
		next.password = s.Key.Seal(loginPurpose(next.repository), spec.Password)
	case spec.Username == "":
	case spec.Username == old.Username && spec.URL == old.URL && spec.Kind == old.Kind:
		next.password = old.password
	default:
		return fmt.Errorf("the password is needed again when the address or the name changes: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

func (src Source) save(ctx context.Context, tx *store.Tx, rules string) error {
	_, err := tx.Exec(ctx, `INSERT INTO build_sources (repository, kind, url, hook, secret, engine, rules, created, username, password) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (repository) DO UPDATE SET kind = excluded.kind, url = excluded.url, secret = excluded.secret, engine = excluded.engine,
		rules = excluded.rules, username = excluded.username, password = excluded.password`,
		src.repository, src.Kind, src.URL, src.Hook, src.secret, src.Engine, rules, src.Created.Unix(), src.Username, src.password)
	return err
}

// RemoveSource ends a repository's builds, for who administers it; those that
// ran are remembered. A hosted Git repository goes, too.
func (s *Service) RemoveSource(ctx context.Context, by account.Principal, repository string) error {
	var id string
	err := s.Catalog.Act(ctx, by, deed(repository, catalog.Admin, "build.source.delete"), func(tx *store.Tx, found catalog.Found) error {
		id = found.ID
		n, err := tx.Exec(ctx, "DELETE FROM build_sources WHERE repository = ?", id)
		if err == nil && n == 0 {
			err = errNoSource
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM build_refs WHERE repository = ?", id)
		return err
	})
	if err != nil {
		return err
	}
	return s.git.remove(id)
}

var errNoSource = fmt.Errorf("the repository has no automated builds: %w", errdefs.ErrNotFound)

const selectSource = "SELECT repository, kind, url, hook, secret, engine, rules, created, username, password FROM build_sources"

// Source returns how a repository is built, for who may push to it.
func (s *Service) Source(ctx context.Context, by account.Principal, repository string) (Source, error) {
	found, err := s.reader(ctx, by, repository)
	if err != nil {
		return Source{}, err
	}
	return source(ctx, s.DB, found.ID)
}

// reader lets those read of builds who may push: logs may hold what is not for
// everybody.
func (s *Service) reader(ctx context.Context, by account.Principal, repository string) (catalog.Found, error) {
	return s.Catalog.May(ctx, s.DB, by, catalog.Place{Repository: repository}, catalog.Write)
}

func source(ctx context.Context, q store.Querier, id string) (Source, error) {
	src, err := scanSource(q.QueryRow(ctx, selectSource+" WHERE repository = ?", id))
	if errdefs.IsNotFound(err) {
		err = errNoSource
	}
	return src, err
}

func scanSource(row store.Scanner) (Source, error) {
	var src Source
	var rules string
	var created int64
	if err := row.Scan(&src.repository, &src.Kind, &src.URL, &src.Hook, &src.secret, &src.Engine, &rules, &created, &src.Username, &src.password); err != nil {
		return Source{}, err
	}
	src.Created = time.Unix(created, 0).UTC()
	return src, json.Unmarshal([]byte(rules), &src.Rules)
}

// Sealed is where the secrets of hooks, and the passwords of sources, are.
func Sealed() []seal.Column {
	return []seal.Column{
		{Table: "build_sources", Key: "repository", Name: "secret", Purpose: purpose},
		{Table: "build_sources", Key: "repository", Name: "password", Purpose: loginPurpose},
	}
}

func purpose(repository string) string { return "build hook " + repository }

func loginPurpose(repository string) string { return "build source " + repository }

// ParseEngine reads --build-engine:
// NAME=HOST[,registry=HOST:PORT][,parallel=N][,ca=FILE][,cert=FILE,key=FILE].
func ParseEngine(text string) (Engine, error) {
	bad := func(why string) error {
		return fmt.Errorf("engine %q: %s: %w", text, why, errdefs.ErrInvalidArgument)
	}
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return Engine{}, bad("give NAME=unix:///PATH or NAME=tcp://HOST:PORT")
	}
	parts := strings.Split(rest, ",")
	e := Engine{Name: name, Host: parts[0], Parallel: 1}
	if u, err := url.Parse(e.Host); err != nil || u.Scheme != "unix" && u.Scheme != "tcp" || u.Host+u.Path == "" {
		return Engine{}, bad("the address must begin with unix:// or tcp://")
	}
	for _, p := range parts[1:] {
		key, value, _ := strings.Cut(p, "=")
		switch key {
		case "registry":
			e.Registry = value
		case "ca":
			e.CA = value
		case "cert":
			e.Cert = value
		case "key":
			e.Key = value
		case "parallel":
			if _, err := fmt.Sscanf(value, "%d", &e.Parallel); err != nil || e.Parallel < 1 || e.Parallel > 100 {
				return Engine{}, bad("parallel is 1 to 100")
			}
		default:
			return Engine{}, bad("there is no setting " + key)
		}
	}
	return e, nil
}
