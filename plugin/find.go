package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
)

// Where Docker looks for plugins.
const (
	SocketDir = "/run/docker/plugins"
	AdminDir  = "/etc/docker/plugins"
	VendorDir = "/usr/lib/docker/plugins"
)

// maxSpec bounds a spec file, in bytes.
const maxSpec = 1 << 20

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// address is how to reach a plugin.
type address struct {
	Addr string     // unix:///PATH, tcp://HOST:PORT, http://… or https://…
	TLS  *TLSConfig // nil: none
	From string     // the socket or file that says so
}

// TLSConfig are the files of a TLS connection, as a .json spec names them.
type TLSConfig struct {
	InsecureSkipVerify bool
	CAFile             string
	CertFile           string
	KeyFile            string
}

// find looks for a plugin: its socket first, then a spec file.
func (r *Registry) find(name string) (address, error) {
	if !namePattern.MatchString(name) || len(name) > 128 {
		return address{}, fmt.Errorf("plugin %q: not the name of a plugin: %w", name, errdefs.ErrInvalidArgument)
	}
	for _, p := range []string{filepath.Join(r.sockets, name+".sock"), filepath.Join(r.sockets, name, name+".sock")} {
		info, err := os.Stat(p)
		if err != nil || info.Mode()&fs.ModeSocket == 0 {
			continue
		}
		if err := owned(p); err != nil {
			return address{}, err
		}
		return address{Addr: "unix://" + p, From: p}, nil
	}
	for _, dir := range r.specs {
		for _, p := range []string{
			filepath.Join(dir, name+".spec"), filepath.Join(dir, name, name+".spec"),
			filepath.Join(dir, name+".json"), filepath.Join(dir, name, name+".json"),
		} {
			a, err := readSpec(name, p)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return a, err
		}
	}
	return address{}, fmt.Errorf("plugin %q not found%w", name, kind{errdefs.ErrNotFound})
}

// Names lists the plugins that there are, whether they answer or not.
func (r *Registry) Names() []string {
	var names []string
	add := func(dir string, suffixes ...string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return // most hosts have none of these directories
		}
		for _, e := range entries {
			for _, s := range suffixes {
				name, ok := strings.CutSuffix(e.Name(), s)
				if !ok && e.IsDir() {
					_, err := os.Stat(filepath.Join(dir, e.Name(), e.Name()+s))
					name, ok = e.Name(), err == nil
				}
				if ok && namePattern.MatchString(name) {
					names = append(names, name)
				}
			}
		}
	}
	add(r.sockets, ".sock")
	for _, dir := range r.specs {
		add(dir, ".spec", ".json")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func readSpec(name, path string) (address, error) {
	f, err := os.Open(path)
	if err != nil {
		return address{}, err
	}
	defer f.Close()
	if err := owned(path); err != nil {
		return address{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return address{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSpec {
		return address{}, fmt.Errorf("plugin %s: %s is not a spec file: %w", name, path, errdefs.ErrInvalidArgument)
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil && info.Size() > 0 {
		return address{}, err
	}
	a := address{Addr: strings.TrimSpace(string(data)), From: path}
	if strings.HasSuffix(path, ".json") {
		var spec struct {
			Name, Addr string
			TLSConfig  *TLSConfig
		}
		if err := json.Unmarshal(data, &spec); err != nil {
			return address{}, fmt.Errorf("plugin %s: %s: %w: %w", name, path, err, errdefs.ErrInvalidArgument)
		}
		a.Addr, a.TLS = spec.Addr, spec.TLSConfig
	}
	u, err := url.Parse(a.Addr)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Path == "" {
		return address{}, fmt.Errorf("plugin %s: %s: %q is no address: %w", name, path, a.Addr, errdefs.ErrInvalidArgument)
	}
	return a, nil
}

// owned refuses a file that others than root could have put there: a plugin
// decides about the engine, and gets what containers write.
func owned(path string) error {
	for p := path; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		mode := info.Mode()
		if !ok || mode&fs.ModeSocket != 0 {
			continue
		}
		writable := mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0 || mode.Perm()&0o020 != 0 && st.Gid != 0
		if st.Uid != 0 && st.Uid != uint32(os.Geteuid()) || writable {
			return fmt.Errorf("plugin at %s is not used: %s may be written by others than root: %w", path, p, errdefs.ErrPermissionDenied)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// kind adds a kind to an error without adding to its text, which is Docker's.
type kind struct{ err error }

func (kind) Error() string   { return "" }
func (k kind) Unwrap() error { return k.err }
