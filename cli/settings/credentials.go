package settings

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"strings"

	helper "github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
	"github.com/moby/moby/api/types/registry"
)

// Hub is the name under which credentials of Docker Hub are kept.
const Hub = "https://index.docker.io/v1/"

// tokenUser marks a helper's secret as an identity token.
const tokenUser = "<token>"

// ServerFor is the name under which credentials for a registry's host are
// kept.
func ServerFor(host string) string {
	if host == "docker.io" || host == "index.docker.io" {
		return Hub
	}
	return host
}

// Hostname strips scheme and path from a registry's address.
func Hostname(server string) string {
	if strings.Contains(server, "://") {
		if u, err := url.Parse(server); err == nil && u.Hostname() != "" {
			if u.Port() == "" {
				return u.Hostname()
			}
			return net.JoinHostPort(u.Hostname(), u.Port())
		}
	}
	host, _, _ := strings.Cut(server, "/")
	return host
}

// helperFor names the credential helper for a server; empty: the file.
func (f *File) helperFor(server string) string {
	for _, key := range []string{server, Hostname(server)} {
		if h, ok := f.CredHelpers[key]; ok {
			return h
		}
	}
	return f.CredsStore
}

func program(name string) helper.ProgramFunc {
	return helper.NewShellProgramFunc("docker-credential-" + name)
}

// Credentials finds what is known for a server, which may be nothing. They
// belong to that server alone and are never tried at another.
func (f *File) Credentials(server string) (registry.AuthConfig, error) {
	if h := f.helperFor(server); h != "" {
		c, err := helper.Get(program(h), server)
		if credentials.IsErrCredentialsNotFound(err) {
			return registry.AuthConfig{}, nil
		}
		if err != nil {
			return registry.AuthConfig{}, fmt.Errorf("error getting credentials for %s: %w", server, err)
		}
		out := registry.AuthConfig{ServerAddress: server, Username: c.Username, Password: c.Secret}
		if c.Username == tokenUser {
			out.Username, out.Password, out.IdentityToken = "", "", c.Secret
		}
		return out, nil
	}
	if a, ok := f.auths[server]; ok {
		return a.decode(server)
	}
	// Old files have the same registry under other spellings.
	for key, a := range f.auths {
		if Hostname(key) == Hostname(server) {
			return a.decode(server)
		}
	}
	return registry.AuthConfig{}, nil
}

// Store keeps credentials. inFile tells that a password was written to the
// file unencrypted, of which the user should be warned.
func (f *File) Store(c registry.AuthConfig) (inFile bool, err error) {
	if h := f.helperFor(c.ServerAddress); h != "" {
		cred := &credentials.Credentials{ServerURL: c.ServerAddress, Username: c.Username, Secret: c.Password}
		if c.IdentityToken != "" {
			cred.Username, cred.Secret = tokenUser, c.IdentityToken
		}
		if err := helper.Store(program(h), cred); err != nil {
			return false, err
		}
		f.auths[c.ServerAddress] = auth{}
		return false, f.save()
	}
	a := auth{IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken}
	if c.Username != "" || c.Password != "" {
		a.Auth = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
	}
	if f.auths[c.ServerAddress] == a {
		return false, nil
	}
	f.auths[c.ServerAddress] = a
	return c.Password != "", f.save()
}

// Erase forgets the credentials of a server in all its spellings.
func (f *File) Erase(server string) error {
	names := []string{server}
	if server != Hub {
		h := Hostname(server)
		names = append(names, h, "http://"+h, "https://"+h)
	}
	changed, done := false, 0
	var first error
	for _, name := range names {
		if h := f.helperFor(name); h != "" {
			if err := helper.Erase(program(h), name); err == nil || credentials.IsErrCredentialsNotFound(err) {
				done++
			} else if first == nil {
				first = err
			}
		} else {
			done++
		}
		if _, ok := f.auths[name]; ok {
			delete(f.auths, name)
			changed = true
		}
	}
	if changed {
		if err := f.save(); err != nil {
			return err
		}
	}
	if done == 0 {
		return first
	}
	return nil
}

// Path is the file's name, for messages.
func (f *File) Path() string { return f.path }
