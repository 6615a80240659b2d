package lifecycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A bundle is a directory with config.json in it (bundle.md of the OCI
// specification).
type bundle struct {
	dir    string // absolute
	rootfs string // absolute
	text   []byte // config.json
	spec   *specs.Spec
}

// load reads a bundle. Relative paths in it start from the bundle.
func load(dir string) (*bundle, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("JSON specification file %s not found in %s: %w", configFile, dir, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return parse(dir, text)
}

// parse makes the bundle in dir of its config.json.
func parse(dir string, text []byte) (*bundle, error) {
	if !utf8.Valid(text) { // encoding/json would put other characters in the place
		return nil, fmt.Errorf("%s: the text is not UTF-8: %w", configFile, errdefs.ErrInvalidArgument)
	}
	b := &bundle{dir: dir, text: text, spec: new(specs.Spec)}
	if err := unmarshal(b.text, b.spec); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", configFile, err, errdefs.ErrInvalidArgument)
	}
	if err := b.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", configFile, err, errdefs.ErrInvalidArgument)
	}
	b.rootfs = b.absolute(b.spec.Root.Path)
	for i := range b.spec.Mounts {
		m := &b.spec.Mounts[i]
		if isBind(m) && m.Source != "" {
			m.Source = b.absolute(m.Source)
		}
		m.Destination = withoutRoot(b.rootfs, m.Destination)
	}
	return b, nil
}

// withoutRoot takes the root file system's path off a destination: some say
// where it is on the host, and runc understands them.
func withoutRoot(rootfs, path string) string {
	clean := filepath.Clean("/" + path)
	if rest, ok := strings.CutPrefix(clean, rootfs+"/"); ok && rootfs != "/" {
		return "/" + rest
	}
	return path
}

func isBind(m *specs.Mount) bool {
	if m.Type == "bind" {
		return true
	}
	for _, o := range m.Options {
		if o == "bind" || o == "rbind" {
			return true
		}
	}
	return false
}

func (b *bundle) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(b.dir, path)
}

// validate checks what package stage takes for granted, or cannot say in the
// words of config.json.
func (b *bundle) validate() error {
	s := b.spec
	switch {
	case !validVersion(s.Version):
		return fmt.Errorf("ociVersion %q is not a version of the form 1.2.3", s.Version)
	case s.Root == nil || s.Root.Path == "":
		return errors.New("root.path must not be empty")
	case s.Linux == nil:
		return errors.New("the linux property is missing: this is not a configuration for Linux")
	}
	if _, has := s.Annotations[""]; has {
		return errors.New("annotations: a key is empty")
	}
	return validProcess(s.Process)
}

// validProcess speaks runc's words.
func validProcess(p *specs.Process) error {
	switch {
	case p == nil:
		return errors.New("process property must not be empty")
	case p.Cwd == "":
		return errors.New("Cwd property must not be empty")
	case !filepath.IsAbs(p.Cwd):
		return errors.New("Cwd must be an absolute path")
	case len(p.Args) == 0:
		return errors.New("args must not be empty")
	}
	return nil
}

// validVersion tells whether v is a semantic version with the major number 1,
// or 0 as the drafts had it.
func validVersion(v string) bool {
	core, _, _ := strings.Cut(v, "+")
	core, _, _ = strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 || parts[0] != "1" && parts[0] != "0" {
		return false
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}
