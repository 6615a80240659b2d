package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// Host is one address that the API listens on.
type Host struct {
	Proto string // unix, tcp, fd
	Addr  string // absolute path, host:port, or the name of an inherited socket ("": all of them)
}

// String is the address as a URL.
func (h Host) String() string { return h.Proto + "://" + h.Addr }

// ParseHost reads an address as --host takes it. A TCP address without a port
// gets Docker's, which depends on tls; without a host, it is loopback.
func ParseHost(s string, tls bool) (Host, error) {
	proto, addr, ok := strings.Cut(strings.TrimSpace(s), "://")
	if !ok {
		proto, addr = "tcp", proto
	}
	switch proto {
	case "unix":
		if !filepath.IsAbs(addr) {
			return Host{}, fmt.Errorf("invalid host %q: the path of a unix socket must be absolute", s)
		}
		if addr = filepath.Clean(addr); len(addr) > 107 {
			return Host{}, fmt.Errorf("invalid host %q: the path of a unix socket has at most 107 bytes", s)
		}
		return Host{proto, addr}, nil
	case "fd":
		if addr == "*" {
			addr = ""
		}
		return Host{proto, addr}, nil
	case "tcp":
		addr, err := tcpAddr(strings.TrimSuffix(addr, "/"), tls)
		if err != nil {
			return Host{}, fmt.Errorf("invalid bind address (%s): %w", s, err)
		}
		return Host{proto, addr}, nil
	}
	return Host{}, fmt.Errorf("invalid bind address (%s): unsupported proto '%s'", s, proto)
}

func tcpAddr(addr string, tls bool) (string, error) {
	port := "2375"
	if tls {
		port = "2376"
	}
	host := strings.Trim(addr, "[]")
	if _, err := netip.ParseAddr(host); err != nil {
		if h, p, err := net.SplitHostPort(addr); err == nil {
			host = h
			if p != "" {
				port = p
			}
		} else if strings.ContainsAny(addr, ":/?#@ ") {
			return "", fmt.Errorf("should be tcp://HOST:PORT")
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("invalid port %q", port)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if strings.ContainsAny(host, "/?#@ ") {
		return "", fmt.Errorf("invalid host %q", host)
	}
	return net.JoinHostPort(host, port), nil
}

// loopback says whether only this machine can reach the address.
func (h Host) loopback() bool {
	host, _, err := net.SplitHostPort(h.Addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
