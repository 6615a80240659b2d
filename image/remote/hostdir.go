package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
)

// anyRegistry is the directory for registries that have none of their own.
const anyRegistry = "_default"

// hostDir is the directory with the settings of one registry. It holds either
// containerd's hosts.toml
// (https://github.com/containerd/containerd/blob/main/docs/hosts.md) or, as for
// Docker, certificates: *.crt of authorities, *.cert with *.key of this client
// (https://docs.docker.com/engine/security/certificates/).
type hostDir struct {
	path string // "": there is none
	own  bool   // is of this registry alone
}

// hostDir finds the directory of a registry, of Docker's or containerd's name:
// "host:port" or "host_port_".
func (r Registries) hostDir(domain string) (hostDir, error) {
	names := []string{domain, anyRegistry}
	if host, port, err := net.SplitHostPort(domain); err == nil {
		names = []string{domain, host + "_" + port + "_", anyRegistry}
	}
	for _, root := range r.ConfigDirs {
		for _, name := range names {
			path := filepath.Join(root, name)
			info, err := os.Stat(path)
			switch {
			case err == nil && info.IsDir():
				return hostDir{path, name != anyRegistry}, nil
			case err == nil, errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrInvalid):
			default:
				return hostDir{}, fmt.Errorf("settings of registry %s: %w", domain, err)
			}
		}
	}
	return hostDir{}, nil
}

// certificates are those for the first of some names that has a directory.
func (r Registries) certificates(names ...string) (trust, error) {
	for _, name := range names {
		dir, err := r.hostDir(name)
		if err != nil {
			return trust{}, err
		}
		if t, err := dir.certificates(); err != nil || len(t.authorities)+len(t.identities) > 0 {
			return t, err
		}
	}
	return trust{}, nil
}

// certificates reads a directory of Docker's form. As there, a key without
// certificate and a certificate without key are errors.
func (d hostDir) certificates() (trust, error) {
	var t trust
	if d.path == "" {
		return t, nil
	}
	list, err := os.ReadDir(d.path)
	if err != nil {
		return t, fmt.Errorf("certificates of a registry: %w", err)
	}
	has := map[string]bool{}
	for _, f := range list {
		has[f.Name()] = true
	}
	for _, f := range list {
		name := f.Name()
		path := filepath.Join(d.path, name)
		base := strings.TrimSuffix(name, filepath.Ext(name))
		switch filepath.Ext(name) {
		case ".crt":
			t.authorities = append(t.authorities, path)
		case ".cert":
			if !has[base+".key"] {
				return t, fmt.Errorf("%s: the key %s.key is missing; certificates of authorities end in .crt: %w", path, base, errdefs.ErrInvalidArgument)
			}
			t.identities = append(t.identities, [2]string{path, filepath.Join(d.path, base+".key")})
		case ".key":
			if !has[base+".cert"] {
				return t, fmt.Errorf("%s: the certificate %s.cert is missing: %w", path, base, errdefs.ErrInvalidArgument)
			}
		}
	}
	return t, nil
}
