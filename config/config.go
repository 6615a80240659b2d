package config

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// Places that a daemon without settings uses.
const (
	DefaultFile     = "/etc/berth/daemon.json"
	DefaultDataRoot = "/var/lib/berth"
	DefaultExecRoot = "/var/run/berth"
	DefaultHost     = "unix:///var/run/berth.sock"
)

// Config is every setting of the daemon. The JSON names are the keys of
// daemon.json; the flags carry the same names, in the singular where dockerd has
// them so.
type Config struct {
	Hosts    []string `json:"hosts"`     // where the API listens; none: DefaultHost
	Group    string   `json:"group"`     // group of unix sockets; "": root's
	DataRoot string   `json:"data-root"` // absolute
	ExecRoot string   `json:"exec-root"` // absolute; may vanish at reboot
	Pidfile  string   `json:"pidfile"`   // "": none

	// MetricsAddr is where metrics are served for Prometheus, HOST:PORT; "":
	// nowhere.
	MetricsAddr string `json:"metrics-addr"`

	Debug     bool   `json:"debug"`      // same as log-level debug
	LogLevel  string `json:"log-level"`  // debug, info, warn, error, fatal
	LogFormat string `json:"log-format"` // text, json

	TLS       *bool  `json:"tls"`       // nil: not said
	TLSVerify *bool  `json:"tlsverify"` // nil: not said; true implies TLS
	TLSCACert string `json:"tlscacert"`
	TLSCert   string `json:"tlscert"`
	TLSKey    string `json:"tlskey"`

	StorageDriver string   `json:"storage-driver"` // overlayfs, or its older name overlay2
	StorageOpts   []string `json:"storage-opts"`   // overlay2.size=SIZE: see RootSize

	RegistryMirrors    []string            `json:"registry-mirrors"`    // of docker.io
	InsecureRegistries []string            `json:"insecure-registries"` // host[:port] or CIDR
	Registries         map[string]Registry `json:"registries"`          // Berth's own: settings of any registry
	// RegistryDirs is Berth's own: directories with one for each registry, which
	// holds containerd's hosts.toml or Docker's certificates.
	RegistryDirs []string `json:"registry-config-dirs"`
	// SignaturePolicy is Berth's own: a containers-policy.json about which images
	// may come from registries; "": all may.
	SignaturePolicy string `json:"signature-policy"`
	// CompactAfter is Berth's own: how long images must not have changed before their
	// layers are compacted (docs/images.md); 0: never.
	CompactAfter     Duration `json:"image-compact-after"`
	ImageGC          ImageGC  `json:"image-gc"`
	MaxDownloads     int      `json:"max-concurrent-downloads"`
	MaxUploads       int      `json:"max-concurrent-uploads"`
	DownloadAttempts int      `json:"max-download-attempts"`

	Bridge        string `json:"bridge"`          // name of the default bridge
	BIP           string `json:"bip"`             // its address with prefix length; "": chosen
	FixedCIDR     string `json:"fixed-cidr"`      // part of its network that containers get addresses from; "": all
	Gateway       string `json:"default-gateway"` // containers' way out; "": the bridge
	IPv6          bool   `json:"ipv6"`            // the default network has IPv6, too
	BIP6          string `json:"bip6"`
	FixedCIDR6    string `json:"fixed-cidr-v6"`
	Gateway6      string `json:"default-gateway-v6"`
	ICC           bool   `json:"icc"`                  // containers of the default network reach each other
	Masquerade    bool   `json:"ip-masq"`              // they go out under the host's address
	PublishIP     string `json:"ip"`                   // of ports that are published without an address; 0.0.0.0: all
	Forward       bool   `json:"ip-forward"`           // switch forwarding on
	DirectRouting bool   `json:"allow-direct-routing"` // who is outside reaches published ports at containers' addresses
	AcceptMark    string `json:"bridge-accept-fwmark"` // of packets that are let in to bridges, as MARK[/MASK]
	MTU           int    `json:"mtu"`                  // 0: the default route's
	// AddressPools are where subnets of networks are taken from that name none;
	// none: Docker's.
	AddressPools []AddressPool                `json:"default-address-pools"`
	NetworkOpts  map[string]map[string]string `json:"default-network-opts"` // by driver
	// PublishPolicy is Berth's own: how published ports stand to the host's
	// firewall: docker, host or loopback.
	PublishPolicy string `json:"publish-policy"`

	// Prepared is Berth's own: for how many containers something is kept ready.
	Prepared        int                          `json:"prepared"`
	CgroupParent    string                       `json:"cgroup-parent"`
	ExecOpts        []string                     `json:"exec-opts"`
	Init            bool                         `json:"init"`
	ShmSize         Bytes                        `json:"default-shm-size"`
	Ulimits         map[string]*container.Ulimit `json:"default-ulimits"`
	NoNewPrivileges bool                         `json:"no-new-privileges"`
	SeccompProfile  string                       `json:"seccomp-profile"` // file, builtin, or unconfined; "": builtin
	UsernsRemap     string                       `json:"userns-remap"`    // whose ids root of containers has: see Remapped; "": the host's
	Runtimes        map[string]Runtime           `json:"runtimes"`        // OCI runtimes besides Berth's own, by name
	DefaultRuntime  string                       `json:"default-runtime"` // for containers that name none; "": Berth's own
	CDISpecDirs     []string                     `json:"cdi-spec-dirs"`   // of CDI specifications; none: /etc/cdi and /var/run/cdi
	DNS             []string                     `json:"dns"`             // name servers of containers that name none
	DNSOptions      []string                     `json:"dns-opts"`
	DNSSearch       []string                     `json:"dns-search"`
	HostGatewayIP   string                       `json:"host-gateway-ip"`       // what host-gateway in --add-host means
	HostGatewayIPs  []string                     `json:"host-gateway-ips"`      // the same; the first IPv4 address counts
	IPCMode         string                       `json:"default-ipc-mode"`      // private, shareable
	CgroupnsMode    string                       `json:"default-cgroupns-mode"` // private, host
	LogDriver       string                       `json:"log-driver"`
	LogOpts         map[string]string            `json:"log-opts"`

	Builder Builder `json:"builder"`

	AuthzPlugins    []string        `json:"authorization-plugins"` // each has to allow a request, in this order
	Features        map[string]bool `json:"features"`              // see validateFeatures
	Proxies         Proxies         `json:"proxies"`
	Experimental    bool            `json:"experimental"` // accepted: nothing waits behind it
	Labels          []string        `json:"labels"`
	LiveRestore     bool            `json:"live-restore"`     // accepted: containers always outlive the daemon
	ShutdownTimeout int             `json:"shutdown-timeout"` // seconds for open requests to end; negative: no limit

	// Seccomp is what SeccompProfile names: the file's content, or the word.
	Seccomp string `json:"-"`

	File     string `json:"-"` // the configuration file, whether it exists or not
	Validate bool   `json:"-"` // only check the configuration
	Version  bool   `json:"-"` // only print the version
	Help     string `json:"-"` // usage text to print, when help was asked for
}

// Registry is how to reach one registry.
type Registry struct {
	Mirrors  []string `json:"mirrors"`  // URLs, asked in this order before the registry itself
	Insecure bool     `json:"insecure"` // plain HTTP or an unverified certificate is accepted
}

// Runtime is how to call an OCI runtime: one with runc's command line.
type Runtime struct {
	Path string   `json:"path"`        // absolute, or looked up on the PATH when it is used
	Args []string `json:"runtimeArgs"` // come before all others
	// Containerd's shims are not used here: to be refused.
	Type    string         `json:"runtimeType"`
	Options map[string]any `json:"options"`
}

// defaults is the configuration without flags and file.
func defaults() *Config {
	return &Config{
		DataRoot: DefaultDataRoot, ExecRoot: DefaultExecRoot, File: DefaultFile,
		LogLevel: "info", LogFormat: "text", StorageDriver: "overlayfs",
		RegistryDirs: []string{"/etc/berth/certs.d", "/etc/docker/certs.d"},
		CompactAfter: Duration(10 * time.Second), MaxDownloads: 3, MaxUploads: 5, DownloadAttempts: 5, ShutdownTimeout: 15, LiveRestore: true, PublishPolicy: "docker",
		ICC: true, Masquerade: true, Forward: true, PublishIP: "0.0.0.0",
		ShmSize: 64 * units.MiB, LogDriver: "local", Prepared: 2,
		Ulimits: map[string]*container.Ulimit{}, LogOpts: map[string]string{}, Runtimes: map[string]Runtime{},
		IPCMode: "private", CgroupnsMode: "private", Features: map[string]bool{}, NetworkOpts: map[string]map[string]string{},
	}
}

// Level is the least severe level to log.
func (c *Config) Level() slog.Level {
	if c.Debug {
		return slog.LevelDebug
	}
	return levels[c.LogLevel]
}

// UseTLS says whether TCP listeners speak TLS.
func (c *Config) UseTLS() bool { return isTrue(c.TLS) || c.VerifyClients() }

// VerifyClients says whether TCP clients must show a certificate.
func (c *Config) VerifyClients() bool { return isTrue(c.TLSVerify) }

// Mirrors returns the mirrors of every registry that has some, docker.io's from
// registry-mirrors included.
func (c *Config) Mirrors() map[string][]string {
	all := map[string][]string{}
	for host, r := range c.Registries {
		if len(r.Mirrors) > 0 {
			all[host] = slices.Clone(r.Mirrors)
		}
	}
	if len(c.RegistryMirrors) > 0 {
		all["docker.io"] = append(slices.Clone(c.RegistryMirrors), all["docker.io"]...)
	}
	return all
}

// Insecure returns all registries for which plain HTTP and unverified
// certificates are accepted, as host[:port] or CIDR, sorted.
func (c *Config) Insecure() []string {
	set := map[string]bool{}
	for _, r := range c.InsecureRegistries {
		set[r] = true
	}
	for host, r := range c.Registries {
		if r.Insecure {
			set[host] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func isTrue(b *bool) bool { return b != nil && *b }
