package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Proxies are those that the daemon itself uses; they count more than its
// environment.
type Proxies struct {
	HTTP  string `json:"http-proxy"`
	HTTPS string `json:"https-proxy"`
	No    string `json:"no-proxy"`
}

// Environ is the proxies as programs find them in their environment.
func (p *Proxies) Environ() map[string]string {
	env := map[string]string{}
	for name, value := range map[string]string{"HTTP_PROXY": p.HTTP, "HTTPS_PROXY": p.HTTPS, "NO_PROXY": p.No} {
		if value != "" {
			env[name], env[strings.ToLower(name)] = value, value
		}
	}
	return env
}

// keysOfFlags are the keys whose flags have another name.
var keysOfFlags = map[string]string{
	"dns-opt": "dns-opts", "default-address-pool": "default-address-pools", "default-network-opt": "default-network-opts", "feature": "features", "http-proxy": "proxies", "https-proxy": "proxies", "no-proxy": "proxies",
}

// addFlagsOfContainers declares what containers get that do not say otherwise,
// and the proxies.
func addFlagsOfContainers(fs *pflag.FlagSet, c *Config) {
	fs.StringArrayVar(&c.DNS, "dns", nil, "Name server of containers that name none")
	fs.StringArrayVar(&c.DNSOptions, "dns-opt", nil, "Option of their resolver")
	fs.StringArrayVar(&c.DNSSearch, "dns-search", nil, "Domain that they search")
	fs.StringVar(&c.HostGatewayIP, "host-gateway-ip", "", "Address that host-gateway in --add-host means; the bridge's if empty")
	fs.StringVar(&c.IPCMode, "default-ipc-mode", c.IPCMode, "IPC mode of containers that name none: private, shareable")
	fs.StringVar(&c.CgroupnsMode, "default-cgroupns-mode", c.CgroupnsMode, "Cgroup namespace of containers that name none: private, host")
	fs.Var(switches(c.Features), "feature", "Switch a feature on or off (NAME[=false])")
	fs.StringVar(&c.Proxies.HTTP, "http-proxy", "", "Proxy of the daemon for http:// URLs")
	fs.StringVar(&c.Proxies.HTTPS, "https-proxy", "", "Proxy of the daemon for https:// URLs")
	fs.StringVar(&c.Proxies.No, "no-proxy", "", "Hosts to reach without a proxy")
	fs.BoolVar(&c.Experimental, "experimental", false, "Accepted: nothing waits behind it")
}

// switches is a repeated name[=bool] flag.
type switches map[string]bool

func (s switches) String() string { return "" }

// Type names the value in the usage text.
func (s switches) Type() string { return "name=bool" }

// Set adds one.
func (s switches) Set(text string) error {
	name, value, given := strings.Cut(text, "=")
	on := true
	if given {
		var err error
		if on, err = strconv.ParseBool(value); err != nil {
			return err
		}
	}
	s[name] = on
	return nil
}

// features are Docker's, with the one value that is not refused: what it is
// here.
var features = map[string]bool{
	"buildkit": true, "containerd-snapshotter": true, "cdi": true, "time-namespaces": false, "windows-dns-proxy": false, "containerd-migration": false,
}

func (c *Config) validateContainers() error {
	for _, a := range c.DNS {
		if _, err := netip.ParseAddr(a); err != nil {
			return fmt.Errorf("invalid dns: %s is not an IP address", a)
		}
	}
	for _, d := range c.DNSSearch {
		if d == "" || strings.ContainsAny(d, " \t\n") {
			return fmt.Errorf("invalid dns-search: %q is not a domain", d)
		}
	}
	for _, o := range c.DNSOptions {
		if o == "" || strings.ContainsAny(o, " \t\n") {
			return fmt.Errorf("invalid dns-opts: %q", o)
		}
	}
	if len(c.HostGatewayIPs) > 0 && c.HostGatewayIP != "" {
		return fmt.Errorf("host-gateway-ip and host-gateway-ips cannot both be given")
	}
	for _, a := range append([]string{c.HostGatewayIP}, c.HostGatewayIPs...) {
		if _, err := netip.ParseAddr(a); a != "" && err != nil {
			return fmt.Errorf("invalid host-gateway-ip: %s is not an IP address", a)
		}
	}
	if !slices.Contains([]string{"private", "shareable"}, c.IPCMode) {
		return fmt.Errorf("invalid default-ipc-mode: %q: want private or shareable", c.IPCMode)
	}
	if !slices.Contains([]string{"private", "host"}, c.CgroupnsMode) {
		return fmt.Errorf("invalid default-cgroupns-mode: %q: want private or host", c.CgroupnsMode)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Features)) {
		want, known := features[name]
		if !known {
			return fmt.Errorf("feature %q is not one that this version knows", name)
		}
		if c.Features[name] != want {
			return fmt.Errorf("feature %s=%v is not supported: it is always %v here", name, c.Features[name], want)
		}
	}
	for _, p := range []string{c.Proxies.HTTP, c.Proxies.HTTPS} {
		if _, err := url.Parse(p); err != nil || strings.ContainsAny(p, " \n") {
			return fmt.Errorf("invalid proxy: it is not a URL")
		}
	}
	return nil
}

// GatewayIP is what host-gateway means; "": the bridge's address.
func (c *Config) GatewayIP() string {
	for _, a := range c.HostGatewayIPs {
		if p, err := netip.ParseAddr(a); err == nil && p.Is4() {
			return a
		}
	}
	return c.HostGatewayIP
}
