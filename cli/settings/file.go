package settings

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/api/types/registry"
)

// File is the part of config.json that this client uses.
type File struct {
	HTTPHeaders    map[string]string `json:"HttpHeaders"`
	PsFormat       string            `json:"psFormat"`
	ImagesFormat   string            `json:"imagesFormat"`
	StatsFormat    string            `json:"statsFormat"`
	VolumesFormat  string            `json:"volumesFormat"`
	NetworksFormat string            `json:"networksFormat"`
	DetachKeys     string            `json:"detachKeys"`
	CredsStore     string            `json:"credsStore"`
	CredHelpers    map[string]string `json:"credHelpers"`
	Proxies        map[string]Proxy  `json:"proxies"`
	PruneFilters   []string          `json:"pruneFilters"`

	CurrentContext string `json:"currentContext"` // "": the default

	path  string
	auths map[string]auth
	raw   map[string]json.RawMessage // everything, as read
}

// Proxy is what containers get in their environment.
type Proxy struct {
	HTTP  string `json:"httpProxy"`
	HTTPS string `json:"httpsProxy"`
	No    string `json:"noProxy"`
	FTP   string `json:"ftpProxy"`
	All   string `json:"allProxy"`
}

// auth is an entry of "auths"; Auth is base64 of user:password.
type auth struct {
	Auth          string `json:"auth,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

// Dir is where the file lives: flag, then DOCKER_CONFIG, then ~/.docker.
func Dir(flag string) string {
	if flag != "" {
		return flag
	}
	if d := os.Getenv("DOCKER_CONFIG"); d != "" {
		return d
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ".docker"
	}
	return filepath.Join(home, ".docker")
}

// Load reads config.json in dir. A missing file is an empty configuration; a
// broken one is an error beside an empty configuration.
func Load(dir string) (*File, error) {
	path := filepath.Join(dir, "config.json")
	f := &File{path: path, auths: map[string]auth{}, raw: map[string]json.RawMessage{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return f, nil
	}
	if err == nil {
		err = f.parse(data)
	}
	if err != nil {
		return &File{path: path, auths: map[string]auth{}, raw: map[string]json.RawMessage{}},
			fmt.Errorf("loading config file: %s: %w", path, err)
	}
	return f, nil
}

func (f *File) parse(data []byte) error {
	if err := json.Unmarshal(data, f); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &f.raw); err != nil {
		return err
	}
	if a, ok := f.raw["auths"]; ok {
		if err := json.Unmarshal(a, &f.auths); err != nil {
			return err
		}
	}
	if f.auths == nil {
		f.auths = map[string]auth{}
	}
	return nil
}

func (a auth) decode(server string) (registry.AuthConfig, error) {
	c := registry.AuthConfig{ServerAddress: server, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Auth == "" {
		return c, nil
	}
	b, err := base64.StdEncoding.DecodeString(a.Auth)
	if err != nil {
		return c, fmt.Errorf("invalid auth configuration for %s: %w", server, err)
	}
	user, pass, ok := strings.Cut(string(b), ":")
	if !ok || user == "" {
		return c, fmt.Errorf("invalid auth configuration for %s", server)
	}
	c.Username, c.Password = user, strings.Trim(pass, "\x00")
	return c, nil
}

// Use makes name the current context; "" is the default.
func (f *File) Use(name string) error {
	f.CurrentContext = name
	delete(f.raw, "currentContext")
	if name != "" {
		data, err := json.Marshal(name)
		if err != nil {
			return err
		}
		f.raw["currentContext"] = data
	}
	return f.save()
}

// save replaces the file in one step. Only the owner can read it, also when
// it was readable by others before.
func (f *File) save() error {
	auths, err := json.Marshal(f.auths)
	if err != nil {
		return err
	}
	f.raw["auths"] = auths
	if len(f.auths) == 0 {
		delete(f.raw, "auths")
	}
	data, err := json.MarshalIndent(f.raw, "", "\t")
	if err != nil {
		return err
	}
	path := f.path
	// A link to a file elsewhere, as dotfile managers make, stays one.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".config.json-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails after the rename, which is meant
	_, err = tmp.Write(append(data, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
