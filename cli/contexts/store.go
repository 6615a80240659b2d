package contexts

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/containerd/errdefs"
)

// Default is the context that stands for the flags, the environment and the
// default socket; it is in no file.
const Default = "default"

// Endpoint is the kind of endpoint that this client uses.
const Endpoint = "docker"

// Context is one named daemon.
type Context struct {
	Name        string
	Description string
	Host        string // the daemon's address; may be empty, which is the default
	SkipVerify  bool   // the server's certificate is not checked
	TLS         TLS

	raw meta
}

// TLS is the content of the certificate files, in PEM; nil: none.
type TLS struct{ CA, Cert, Key []byte }

// Empty tells whether there is no TLS material at all.
func (t TLS) Empty() bool { return t.CA == nil && t.Cert == nil && t.Key == nil }

// files are where TLS material lies, by name.
func (t *TLS) files() map[string]*[]byte {
	return map[string]*[]byte{"ca.pem": &t.CA, "cert.pem": &t.Cert, "key.pem": &t.Key}
}

// meta is the file's form.
type meta struct {
	Name      string
	Metadata  map[string]any
	Endpoints map[string]map[string]any
}

// Store is the contexts of one user.
type Store struct{ dir string }

// Open returns the contexts in a user's configuration directory. The directory
// need not exist.
func Open(configDir string) *Store { return &Store{dir: filepath.Join(configDir, "contexts")} }

// ID is the name of a context's directories.
func ID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// MetaDir is where a context's description lies.
func (s *Store) MetaDir(name string) string { return filepath.Join(s.dir, "meta", ID(name)) }

// TLSDir is where a context's certificates lie, if it has some.
func (s *Store) TLSDir(name string) string { return filepath.Join(s.dir, "tls", ID(name)) }

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$`)

// ValidName refuses names that cannot be those of contexts.
func ValidName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("context name cannot be empty: %w", errdefs.ErrInvalidArgument)
	case name == Default:
		return fmt.Errorf(`"default" is a reserved context name: %w`, errdefs.ErrInvalidArgument)
	case !validName.MatchString(name):
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("context name %q is invalid, names are validated against regexp %q", name, validName))
	}
	return nil
}

// Get reads one context; errdefs.NotFound if there is none of that name.
func (s *Store) Get(name string) (*Context, error) {
	c, err := s.read(ID(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("context %q: context not found", name))
	}
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", name, err)
	}
	return c, nil
}

func (s *Store) read(id string) (*Context, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, "meta", id, "meta.json"))
	if err != nil {
		return nil, err
	}
	c, err := parse(data)
	if err != nil {
		return nil, err
	}
	for name, into := range c.TLS.files() {
		*into, err = os.ReadFile(filepath.Join(s.dir, "tls", id, Endpoint, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return c, nil
}

func parse(data []byte) (*Context, error) {
	c := &Context{}
	if err := json.Unmarshal(data, &c.raw); err != nil {
		return nil, fmt.Errorf("meta.json: %w", err)
	}
	c.Name = c.raw.Name
	c.Description, _ = c.raw.Metadata["Description"].(string)
	e := c.raw.Endpoints[Endpoint]
	c.Host, _ = e["Host"].(string)
	c.SkipVerify, _ = e["SkipTLSVerify"].(bool)
	return c, nil
}

// List reads all contexts, by name. The errors of broken ones are joined.
func (s *Store) List() ([]*Context, error) {
	dirs, err := os.ReadDir(filepath.Join(s.dir, "meta"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var (
		all  []*Context
		errs []error
	)
	for _, d := range dirs {
		c, err := s.read(d.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // not a context
		case err != nil:
			errs = append(errs, fmt.Errorf("context in %s: %w", filepath.Join(s.dir, "meta", d.Name()), err))
		default:
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *Context) int { return cmp.Compare(a.Name, b.Name) })
	return all, errors.Join(errs...)
}

// Put writes a context, new or changed. Its certificates are in place before
// its description is.
func (s *Store) Put(c *Context) error {
	if err := ValidName(c.Name); err != nil {
		return err
	}
	tls := s.TLSDir(c.Name)
	if err := os.RemoveAll(filepath.Join(tls, Endpoint)); err != nil {
		return err
	}
	for name, data := range c.TLS.files() {
		if *data == nil {
			continue
		}
		if err := replace(filepath.Join(tls, Endpoint, name), *data); err != nil {
			return err
		}
	}
	data, err := c.marshal()
	if err != nil {
		return err
	}
	return replace(filepath.Join(s.MetaDir(c.Name), "meta.json"), data)
}

func (c *Context) marshal() ([]byte, error) {
	m := meta{Name: c.Name, Metadata: c.raw.Metadata, Endpoints: c.raw.Endpoints}
	if m.Metadata == nil {
		m.Metadata = map[string]any{}
	}
	delete(m.Metadata, "Description")
	if c.Description != "" {
		m.Metadata["Description"] = c.Description
	}
	if m.Endpoints == nil {
		m.Endpoints = map[string]map[string]any{}
	}
	e := m.Endpoints[Endpoint]
	if e == nil {
		e = map[string]any{}
	}
	e["Host"], e["SkipTLSVerify"] = c.Host, c.SkipVerify
	m.Endpoints[Endpoint] = e
	return json.Marshal(m)
}

// Remove forgets a context; errdefs.NotFound if there is none of that name.
func (s *Store) Remove(name string) error {
	if _, err := os.Stat(s.MetaDir(name)); errors.Is(err, fs.ErrNotExist) {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("context %q: context not found", name))
	}
	return errors.Join(os.RemoveAll(s.MetaDir(name)), os.RemoveAll(s.TLSDir(name)))
}

// replace writes a file that only its owner can read, in one step.
func replace(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
