package cli

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

const defaultHost = "unix:///var/run/berth.sock"

// chooseHost is the daemon's address: the flag, BERTH_HOST, DOCKER_HOST, or
// the default socket.
func chooseHost(flags []string, secure bool, getenv func(string) string) (string, error) {
	if len(flags) > 1 {
		return "", errors.New("specify only one -H")
	}
	addr := ""
	switch {
	case len(flags) == 1:
		addr = flags[0]
	case getenv("BERTH_HOST") != "":
		addr = getenv("BERTH_HOST")
	case getenv("DOCKER_HOST") != "":
		addr = getenv("DOCKER_HOST")
	}
	return parseHost(strings.TrimSpace(addr), secure)
}

// parseHost completes an address: scheme tcp, port 2375 (2376 with TLS), host
// 127.0.0.1, the default socket.
func parseHost(addr string, secure bool) (string, error) {
	if addr == "" {
		return defaultHost, nil
	}
	scheme, rest, ok := strings.Cut(addr, "://")
	if !ok {
		scheme, rest = "tcp", addr
	}
	switch scheme {
	case "unix":
		if rest == "" {
			return defaultHost, nil
		}
		return "unix://" + rest, nil
	case "tcp", "http", "https":
		return tcpHost(addr, rest, secure)
	case "ssh":
		return "", fmt.Errorf("daemon address %s: ssh is not available in this version", addr)
	}
	return "", fmt.Errorf("invalid bind address format: %s", addr)
}

func tcpHost(addr, rest string, secure bool) (string, error) {
	u, err := url.Parse("tcp://" + rest)
	if err != nil || strings.Contains(rest, "://") {
		return "", fmt.Errorf("invalid bind address format: %s", addr)
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "127.0.0.1"
	}
	if port == "" {
		port = "2375"
		if secure {
			port = "2376"
		}
	}
	return "tcp://" + net.JoinHostPort(host, port) + u.Path, nil
}
