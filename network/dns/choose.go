package dns

import (
	"net/netip"
	"slices"
	"strings"
)

// ForResolver says what the resolv.conf of a container with a resolver is, and
// which servers the resolver asks. Given is what the user asked for (--dns,
// --dns-search, --dns-option); the host's takes the place of what is not given.
func ForResolver(given Config) (file Config, ask []Server) { return forResolver(given, hostRaw()) }

func forResolver(given, host Config) (file Config, ask []Server) {
	own := len(given.Servers) == 0
	servers := given.Servers
	if own {
		servers = host.Servers
	}
	for _, a := range servers {
		ask = append(ask, Server{Addr: netip.AddrPortFrom(a, 53), Host: own})
	}
	if len(ask) == 0 {
		for _, a := range Fallback {
			ask = append(ask, Server{Addr: netip.AddrPortFrom(a, 53)})
		}
	}
	file = Config{Servers: []netip.Addr{Address}, Search: given.Search, Options: slices.Clone(given.Options)}
	if len(given.Search) == 0 {
		file.Search = host.Search
	}
	if slices.Equal(given.Search, []string{"."}) { // none at all
		file.Search = nil
	}
	if len(given.Options) == 0 {
		file.Options = slices.Clone(host.Options)
	}
	// A container's name has no dots, and is to be asked for as it is first.
	if !slices.ContainsFunc(file.Options, func(o string) bool { return strings.HasPrefix(o, "ndots:") }) {
		file.Options = append(file.Options, "ndots:0")
	}
	return file, ask
}

// hostRaw is the host's configuration with servers that only the host reaches.
func hostRaw() Config {
	c := read("/etc/resolv.conf")
	if len(c.Servers) == 1 && c.Servers[0] == netip.AddrFrom4([4]byte{127, 0, 0, 53}) {
		if r := read("/run/systemd/resolve/resolv.conf"); len(r.Servers) > 0 {
			return r
		}
	}
	return c
}
