package cli

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/berth-engine/berth/cli/contexts"
)

const defaultHost = "unix:///var/run/berth.sock"

// chooseHost says where the daemon is: at an address, or where a context says.
// At most one of the two is set; neither is the default socket. In this order:
// the flags, BERTH_HOST, DOCKER_HOST, BERTH_CONTEXT, DOCKER_CONTEXT, the context
// that `berth context use` chose.
func chooseHost(f globalFlags, getenv func(string) string, used func() string) (addr, context string, err error) {
	hosts := f.hosts.Values
	switch {
	case len(hosts) > 1:
		return "", "", errors.New("specify only one -H")
	case len(hosts) == 1 && f.context != "":
		return "", "", errors.New("conflicting options: cannot specify both --host and --context")
	case len(hosts) == 1:
		return strings.TrimSpace(hosts[0]), "", nil
	case f.context != "":
		context = f.context
	default:
		for _, name := range []string{"BERTH_HOST", "DOCKER_HOST"} {
			if addr = strings.TrimSpace(getenv(name)); addr != "" {
				return addr, "", nil
			}
		}
		for _, name := range []string{"BERTH_CONTEXT", "DOCKER_CONTEXT"} {
			if context == "" {
				context = getenv(name)
			}
		}
		if context == "" {
			context = used()
		}
	}
	if context == contexts.Default {
		context = ""
	}
	return "", context, nil
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
		if _, err := parseSSH(addr); err != nil {
			return "", err
		}
		return addr, nil
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
