// Package dns has containers' names: which name servers a container is told
// (on the default bridge the host's, unless they can be reached by the host
// alone; on user-defined networks its resolver), and the resolver, which knows
// the names of containers and asks servers about the rest. It opens no socket
// of its own but to servers, through a function it is given.
package dns

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Config is what a resolv.conf says (resolv.conf(5)).
type Config struct {
	Servers []netip.Addr
	Search  []string
	Options []string
}

// Fallback is told to a container whose host has no server that it could
// reach, as Docker does.
var Fallback = []netip.Addr{netip.AddrFrom4([4]byte{8, 8, 8, 8}), netip.AddrFrom4([4]byte{8, 8, 4, 4})}

// maxSize bounds how much of a resolv.conf is read.
const maxSize = 64 << 10

// Parse reads a resolv.conf. Lines that make no sense are passed over, as the
// C library does.
func Parse(data []byte) Config {
	var c Config
	data = data[:min(len(data), maxSize)]
	for scanner := bufio.NewScanner(bytes.NewReader(data)); scanner.Scan(); {
		line := scanner.Text()
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil {
				c.Servers = append(c.Servers, a)
			}
		case "search":
			c.Search = f[1:]
		case "domain":
			c.Search = f[1:2]
		case "options":
			c.Options = append(c.Options, f[1:]...)
		}
	}
	return c
}

// Text is a resolv.conf. A search list of "." alone means none.
func Text(servers, search, options []string) string {
	var b strings.Builder
	for _, a := range servers {
		b.WriteString("nameserver " + a + "\n")
	}
	if len(search) > 0 && !slices.Equal(search, []string{"."}) {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	if len(options) > 0 {
		b.WriteString("options " + strings.Join(options, " ") + "\n")
	}
	return b.String()
}

// Host reads the host's configuration for containers on an IPv4 network, or one
// that has IPv6, too. Loopback servers are left out; where systemd-resolved is
// the only one, its own list of upstream servers is used instead.
func Host(six bool) Config {
	c := hostRaw()
	c.Servers = reachable(c.Servers, six)
	if len(c.Servers) == 0 {
		c.Servers = Fallback
	}
	return c
}

func read(path string) Config {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{} // a host without one has nothing to say
	}
	return Parse(data)
}

func reachable(servers []netip.Addr, six bool) []netip.Addr {
	var out []netip.Addr
	for _, a := range servers {
		if (a.Is4() || six && !a.IsLinkLocalUnicast()) && !a.IsLoopback() {
			out = append(out, a)
		}
	}
	return out
}
