package settings

import (
	"slices"
	"strings"
)

// ProxyEnv is the environment for containers of a daemon: env, and before it
// the proxies configured for the daemon's address or by default, unless env
// sets them itself. Both spellings are set, because programs differ.
func (f *File) ProxyEnv(host string, env []string) []string {
	p, ok := f.Proxies[host]
	if !ok {
		p = f.Proxies["default"]
	}
	var out []string
	for _, v := range []struct{ name, value string }{
		{"HTTP_PROXY", p.HTTP},
		{"HTTPS_PROXY", p.HTTPS},
		{"NO_PROXY", p.No},
		{"FTP_PROXY", p.FTP},
		{"ALL_PROXY", p.All},
	} {
		if v.value == "" {
			continue
		}
		for _, name := range []string{v.name, strings.ToLower(v.name)} {
			if !slices.ContainsFunc(env, func(e string) bool { return e == name || strings.HasPrefix(e, name+"=") }) {
				out = append(out, name+"="+v.value)
			}
		}
	}
	return append(out, env...)
}
