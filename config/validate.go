package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

var levels = map[string]slog.Level{
	"trace": slog.LevelDebug,
	"debug": slog.LevelDebug,
	"info":  slog.LevelInfo,
	"warn":  slog.LevelWarn,
	"error": slog.LevelError,
	"fatal": slog.LevelError,
	"panic": slog.LevelError,
}

// validate checks every value, and brings hosts, mirrors and directories into
// one form.
func (c *Config) validate() error {
	for _, check := range []func() error{
		c.checkLog, c.checkDirs, c.checkHosts, c.checkMetrics, c.checkTLS, c.checkStorage,
		c.checkRegistries, c.checkNetwork, c.checkLabels, c.checkLimits, c.checkRuntimes, c.validateContainers,
		c.checkExecOpts, c.checkBuilder, c.readSeccomp,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkLog() error {
	if _, ok := levels[c.LogLevel]; !ok {
		return fmt.Errorf("invalid logging level: %s", c.LogLevel)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("invalid log format: %s", c.LogFormat)
	}
	if !slices.Contains([]string{"fluentd", "gelf", "journald", "json-file", "local", "none", "syslog"}, c.LogDriver) {
		return fmt.Errorf("logger: no log driver named '%s' is registered", c.LogDriver)
	}
	return nil
}

func (c *Config) checkDirs() error {
	for name, dir := range map[string]*string{"data-root": &c.DataRoot, "exec-root": &c.ExecRoot, "pidfile": &c.Pidfile} {
		if *dir == "" {
			if name == "pidfile" {
				continue
			}
			return fmt.Errorf("%s must not be empty", name)
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		if abs == "/" {
			return fmt.Errorf("%s must not be /", name)
		}
		*dir = abs
	}
	return nil
}

func (c *Config) checkHosts() error {
	if len(c.Hosts) == 0 {
		c.Hosts = []string{DefaultHost}
	}
	for i, h := range c.Hosts {
		host, err := ParseHost(h, c.UseTLS())
		if err != nil {
			return err
		}
		if host.Proto == "tcp" && !c.VerifyClients() && !host.loopback() && c.TLS == nil && c.TLSVerify == nil {
			return fmt.Errorf("host %s: whoever reaches this address would be root on this machine: use --tlsverify, or accept that with --tls=false", h)
		}
		if slices.Contains(c.Hosts[:i], host.String()) {
			return fmt.Errorf("host %s is given twice", h)
		}
		c.Hosts[i] = host.String()
	}
	return nil
}

func (c *Config) checkMetrics() error {
	if c.MetricsAddr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(c.MetricsAddr)
	if err != nil {
		return fmt.Errorf("invalid metrics-addr %q: must be HOST:PORT: %w", c.MetricsAddr, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("invalid metrics-addr %q: the port must be a number up to 65535", c.MetricsAddr)
	}
	return nil
}

func (c *Config) checkTLS() error {
	if !c.UseTLS() {
		return nil
	}
	if c.TLSCert == "" || c.TLSKey == "" {
		return fmt.Errorf("tls needs tlscert and tlskey")
	}
	if c.VerifyClients() && c.TLSCACert == "" {
		return fmt.Errorf("tlsverify needs tlscacert")
	}
	return nil
}

func (c *Config) checkStorage() error {
	switch c.StorageDriver {
	case "overlayfs", "overlay2", "":
		c.StorageDriver = "overlayfs"
		_, err := c.rootSize()
		return err
	}
	return fmt.Errorf("storage-driver: driver not supported: %s (use overlayfs)", c.StorageDriver)
}

// RootSize is how much a container that does not say otherwise may write besides
// its volumes, in bytes; 0: as much as there is. The options must have been
// validated.
func (c *Config) RootSize() int64 {
	size, _ := c.rootSize()
	return size
}

func (c *Config) rootSize() (size int64, err error) {
	for _, o := range c.StorageOpts {
		key, value, _ := strings.Cut(o, "=")
		switch strings.ToLower(key) {
		case "overlay2.size", "overlayfs.size":
			if size, err = units.RAMInBytes(value); err != nil || size < 0 {
				return 0, fmt.Errorf("storage-opts: invalid size in %q: must be a number of bytes, such as 10G", o)
			}
		case "overlay2.override_kernel_check": // Docker has let it mean nothing for long
		default:
			return 0, fmt.Errorf("storage-opts: unknown option %q: overlay2.size=SIZE is the only one", o)
		}
	}
	return size, nil
}

func (c *Config) checkRegistries() error {
	if c.MaxDownloads < 1 {
		return fmt.Errorf("invalid max concurrent downloads: %d", c.MaxDownloads)
	}
	if c.MaxUploads < 1 {
		return fmt.Errorf("invalid max concurrent uploads: %d", c.MaxUploads)
	}
	if c.DownloadAttempts < 1 {
		return fmt.Errorf("invalid max download attempts: %d", c.DownloadAttempts)
	}
	if c.SignaturePolicy != "" && !filepath.IsAbs(c.SignaturePolicy) {
		return fmt.Errorf("signature-policy: %q is not an absolute path", c.SignaturePolicy)
	}
	for _, dir := range c.RegistryDirs {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("registry-config-dirs: %q is not an absolute path", dir)
		}
	}
	for _, r := range c.InsecureRegistries {
		if err := checkRegistryHost(r, true); err != nil {
			return fmt.Errorf("insecure registry %s is not valid: %w", r, err)
		}
	}
	if err := checkMirrors(c.RegistryMirrors); err != nil {
		return err
	}
	for host, r := range c.Registries {
		if err := checkRegistryHost(host, false); err != nil {
			return fmt.Errorf("registry %s is not valid: %w", host, err)
		}
		if err := checkMirrors(r.Mirrors); err != nil {
			return fmt.Errorf("registry %s: %w", host, err)
		}
	}
	return nil
}

// checkRegistryHost accepts host[:port], and an address block if cidr.
func checkRegistryHost(s string, cidr bool) error {
	if strings.Contains(s, "://") {
		return fmt.Errorf("it should not contain '://'")
	}
	if _, err := netip.ParsePrefix(s); err == nil && cidr {
		return nil
	}
	u, err := url.Parse("https://" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("it should be HOST[:PORT]")
	}
	return nil
}

// checkMirrors validates URLs of mirrors in place; a trailing slash is dropped.
func checkMirrors(mirrors []string) error {
	for i, m := range mirrors {
		u, err := url.Parse(m)
		switch {
		case err != nil:
			return fmt.Errorf("invalid mirror: %q is not a valid URI: %w", m, err)
		case u.Scheme != "http" && u.Scheme != "https":
			return fmt.Errorf("invalid mirror: no scheme specified for %q: must use either 'https://' or 'http://'", m)
		case u.Host == "":
			return fmt.Errorf("invalid mirror: no host in %q", m)
		case u.User != nil:
			return fmt.Errorf("invalid mirror: username/password not allowed in URI %q", u.Redacted())
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			return fmt.Errorf("invalid mirror: path, query, or fragment at end of the URI %q", m)
		}
		mirrors[i] = u.Scheme + "://" + u.Host
	}
	return nil
}

// maxPrepared bounds Config.Prepared: each is a megabyte, and as long as it takes
// to make them, others wait for the kernel's one lock of links.
const maxPrepared = 64

func (c *Config) checkNetwork() error {
	if c.Prepared < 0 || c.Prepared > maxPrepared {
		return fmt.Errorf("invalid prepared: %d is not between 0 and %d", c.Prepared, maxPrepared)
	}
	if c.MTU < 0 {
		return fmt.Errorf("invalid mtu: %d", c.MTU)
	}
	if strings.ContainsAny(c.Bridge, "/ \t\n:") || len(c.Bridge) > 15 || c.Bridge == "." || c.Bridge == ".." {
		return fmt.Errorf("invalid bridge name: %q", c.Bridge)
	}
	if !slices.Contains([]string{"docker", "host", "loopback"}, c.PublishPolicy) {
		return fmt.Errorf("invalid publish-policy: %q is not docker, host or loopback", c.PublishPolicy)
	}
	if c.Bridge == "none" {
		return fmt.Errorf("bridge none is not supported: run containers with --network none")
	}
	for _, p := range c.AddressPools {
		if err := p.check(); err != nil {
			return err
		}
	}
	return c.checkHome()
}

func (c *Config) checkLabels() error {
	seen := map[string]string{}
	for _, l := range c.Labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok || strings.TrimSpace(k) == "" {
			return fmt.Errorf("bad attribute format: %s", l)
		}
		if old, dup := seen[k]; dup && old != v {
			return fmt.Errorf("conflict labels for %s=%s and %s=%s", k, v, k, old)
		}
		seen[k] = v
	}
	return nil
}

func (c *Config) checkLimits() error {
	if c.ShmSize <= 0 {
		return fmt.Errorf("default-shm-size must be positive")
	}
	if !c.LiveRestore {
		return fmt.Errorf("live-restore cannot be switched off: containers always outlive the daemon")
	}
	for name, u := range c.Ulimits {
		if u == nil || (u.Name != "" && u.Name != name) {
			return fmt.Errorf("invalid default-ulimits: %s", name)
		}
		u.Name = name
		if _, err := u.GetRlimit(); err != nil {
			return fmt.Errorf("invalid default-ulimits: %w", err)
		}
	}
	return nil
}
