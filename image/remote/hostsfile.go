package remote

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// hostsFile is a hosts.toml. Unlike containerd, which goes round a file that it
// cannot read, an error ends the pull: the file may be there to keep it from the
// registry.
type hostsFile struct {
	Server string `toml:"server"` // the registry itself
	hostTable
	Hosts map[string]hostTable `toml:"host"` // mirrors, in the order of the file
}

// hostTable is what a hosts.toml says of one host.
type hostTable struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`     // file, or files
	Client       any            `toml:"client"` // file with certificate and key, files, or pairs of files
	SkipVerify   bool           `toml:"skip_verify"`
	Header       map[string]any `toml:"header"` // text, or texts
	OverridePath bool           `toml:"override_path"`
	DialTimeout  string         `toml:"dial_timeout"`
}

// hostsFile lists what a directory's hosts.toml names; nothing if there is none.
// The server of the file of one registry is that registry, which gets its
// credentials; that of the file for all is a mirror as the others. Settings
// without a server are those of the registry under its own name.
func (d hostDir) hostsFile(domain string) ([]endpoint, error) {
	if d.path == "" {
		return nil, nil
	}
	name := filepath.Join(d.path, "hosts.toml")
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("settings of a registry: %w", err)
	}
	list, err := parseHosts(data, d.path, domain, d.own)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, err, errdefs.ErrInvalidArgument)
	}
	return list, nil
}

// parseHosts reads a hosts.toml; names of files are relative to dir.
func parseHosts(data []byte, dir, domain string, own bool) ([]endpoint, error) {
	var file hostsFile
	in := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := in.Decode(&file); err != nil {
		if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok {
			return nil, fmt.Errorf("unknown setting: %s", unknown.String())
		}
		return nil, err
	}
	order, err := hostOrder(data)
	if err != nil {
		return nil, err
	}
	var list []endpoint
	for _, host := range order {
		e, err := file.Hosts[host].endpoint(host, dir)
		if err != nil {
			return nil, fmt.Errorf("host %q: %w", host, err)
		}
		if e.mirror = true; e.can&canRead != 0 {
			e.can &= canRead
			list = append(list, e)
		}
	}
	if t := file.hostTable; file.Server == "" {
		if !t.SkipVerify && t.CA == nil && t.Client == nil && len(t.Header) == 0 && t.DialTimeout == "" && len(t.Capabilities) == 0 {
			return list, nil
		}
		file.Server, own = apiHost(domain), true
	}
	e, err := file.endpoint(file.Server, dir)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if e.mirror = !own; e.mirror {
		e.can &= canRead
	}
	return append(list, e), nil
}

// hostOrder lists the host tables in the order of the file, which is that in
// which they are asked. Decoded they are a map.
func hostOrder(data []byte) ([]string, error) {
	var list []string
	seen := map[string]bool{}
	p := unstable.Parser{}
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.Table {
			continue
		}
		var key []string
		for it := e.Key(); it.Next(); {
			key = append(key, string(it.Node().Data))
		}
		if len(key) >= 2 && key[0] == "host" && !seen[key[1]] {
			seen[key[1]] = true
			list = append(list, key[1])
		}
	}
	return list, p.Error()
}

func (t hostTable) endpoint(address, dir string) (endpoint, error) {
	e := endpoint{can: canWrite, header: http.Header{}}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return e, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return e, fmt.Errorf("%q is not the URL of a registry", u.Redacted())
	}
	u.Path = strings.TrimRight(path.Clean("/"+u.Path), "/")
	if !t.OverridePath && !strings.HasSuffix(u.Path, "/v2") {
		u.Path += "/v2"
	}
	e.url = u
	if len(t.Capabilities) > 0 {
		e.can = 0
	}
	for _, c := range t.Capabilities {
		switch strings.ToLower(c) {
		case "pull":
			e.can |= docker.HostCapabilityPull
		case "resolve":
			e.can |= docker.HostCapabilityResolve
		case "push":
			e.can |= docker.HostCapabilityPush
		case "referrers": // nothing here asks for them
		default:
			return e, fmt.Errorf("unknown capability %q", c)
		}
	}
	if e.trust, err = t.trust(dir); err != nil {
		return e, err
	}
	for name, value := range t.Header {
		texts, err := texts(value)
		if err != nil {
			return e, fmt.Errorf("header %s: %w", name, err)
		}
		for _, text := range texts {
			e.header.Add(name, text)
		}
	}
	return e, nil
}

func (t hostTable) trust(dir string) (trust, error) {
	result := trust{skipVerify: t.SkipVerify}
	at := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(dir, name)
	}
	authorities, err := texts(t.CA)
	if err != nil {
		return result, fmt.Errorf("ca: %w", err)
	}
	for _, name := range authorities {
		result.authorities = append(result.authorities, at(name))
	}
	pairs, isList := t.Client.([]any)
	if !isList && t.Client != nil {
		pairs = []any{t.Client}
	}
	for _, p := range pairs {
		files, err := texts(p)
		switch {
		case err != nil:
			return result, fmt.Errorf("client: %w", err)
		case len(files) == 1:
			result.identities = append(result.identities, [2]string{at(files[0]), at(files[0])})
		case len(files) == 2:
			result.identities = append(result.identities, [2]string{at(files[0]), at(files[1])})
		default:
			return result, fmt.Errorf("client: a pair has %d files", len(files))
		}
	}
	if t.DialTimeout != "" {
		if result.dialTime, err = time.ParseDuration(t.DialTimeout); err != nil || result.dialTime <= 0 {
			return result, fmt.Errorf("dial_timeout: %q is no duration", t.DialTimeout)
		}
	}
	return result, nil
}

// texts reads a value that is one text or a list of them.
func texts(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var list []string
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("%v is no text", one)
			}
			list = append(list, text)
		}
		return list, nil
	}
	return nil, fmt.Errorf("%v is neither a text nor a list of them", value)
}
