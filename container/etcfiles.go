package container

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/network/dns"
)

// hostGateway in ExtraHosts stands for an address of the host that the
// container can reach.
const hostGateway = "host-gateway"

// etcFiles are the files that the engine writes for every container and binds
// over the image's.
var etcFiles = []string{"hostname", "hosts", "resolv.conf"}

// resolver is what goes into /etc/resolv.conf.
type resolver struct {
	servers, search, options []string
}

// writeEtc writes the files into the container's directory.
func (s *Service) writeEtc(r *Record, res *network.Result) error {
	dir := s.records.dir(r.ID)
	linked, err := s.links(r)
	if err != nil {
		return err
	}
	hosts, err := s.hostsFile(r, res, linked)
	if err != nil {
		return err
	}
	resolv, err := s.resolvConf(r, res)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"hostname": r.Config.Hostname + "\n", "hosts": hosts, "resolv.conf": resolv,
	} {
		path := filepath.Join(dir, name)
		if err := file.Write(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("write /etc/%s of the container: %w", name, err)
		}
		err := os.Chmod(path, 0o644)
		if remap := s.remapOf(r); remap != nil && err == nil {
			uid, gid := remap.ToHost(0, 0)
			err = os.Lchown(path, uid, gid)
		}
		if err != nil {
			return fmt.Errorf("write /etc/%s of the container: %w", name, err)
		}
	}
	return nil
}

// etcMounts binds the files of owner (the container itself, or the one whose
// network it shares), except where the request mounts something itself.
func (s *Service) etcMounts(r *Record, owner string) []specs.Mount {
	options := []string{"rbind", "rprivate"}
	if r.HostConfig.ReadonlyRootfs {
		options = append(options, "ro")
	}
	var out []specs.Mount
	for _, name := range etcFiles {
		dest := "/etc/" + name
		if slices.ContainsFunc(r.Mounts, func(m Mount) bool { return m.Destination == dest }) {
			continue
		}
		out = append(out, specs.Mount{
			Destination: dest, Type: "bind", Source: filepath.Join(s.records.dir(owner), name),
			Options: options,
		})
	}
	return out
}

// hostsFile is /etc/hosts of a container.
func (s *Service) hostsFile(r *Record, res *network.Result, linked []link) (string, error) {
	var b strings.Builder
	if r.HostConfig.NetworkMode.IsHost() {
		// The container is on the host's network: its names are right there.
		content, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("write /etc/hosts of the container: %w", err)
		}
		b.Write(content)
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n" +
			"::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	}
	for _, e := range r.HostConfig.ExtraHosts {
		name, addr, err := splitExtraHost(e)
		if err != nil {
			return "", err
		}
		if addr == hostGateway {
			addr = s.gatewayAddr(res)
		}
		fmt.Fprintf(&b, "%s\t%s\n", addr, name)
	}
	for _, l := range linked {
		b.WriteString(l.hosts())
	}
	for _, line := range hostsLines(r, res) {
		b.WriteString(line)
	}
	return b.String(), nil
}

// hostsLines are the lines of /etc/hosts about the container itself.
func hostsLines(r *Record, res *network.Result) []string {
	if res == nil {
		return nil
	}
	names := r.Config.Hostname
	if r.Config.Domainname != "" {
		names += "." + r.Config.Domainname
	}
	// As with Docker, the bare name too, whichever option had the domain.
	if bare, _, ok := strings.Cut(names, "."); ok {
		names += " " + bare
	}
	var out []string
	for i := range res.Endpoints {
		for _, p := range []netip.Prefix{res.Endpoints[i].IPv4, res.Endpoints[i].IPv6} {
			if p.IsValid() {
				out = append(out, fmt.Sprintf("%s\t%s\n", p.Addr(), names))
			}
		}
	}
	return out
}

// gatewayAddr is what host-gateway stands for.
func (s *Service) gatewayAddr(res *network.Result) string {
	if s.defaults.HostGatewayIP != "" {
		return s.defaults.HostGatewayIP
	}
	if res == nil { // on the host's network, for one
		res = &network.Result{}
	}
	return s.networks.HostAddress(res).String()
}

func (s *Service) resolvConf(r *Record, res *network.Result) (string, error) {
	given := s.dnsOf(r)
	if r.HostConfig.NetworkMode.IsHost() && len(given.servers)+len(given.search)+len(given.options) == 0 {
		content, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("write /etc/resolv.conf of the container: %w", err)
		}
		return string(content), nil
	}
	if res != nil && res.Resolver() {
		return dns.Text(s.networks.ResolvConf(given.search, given.options)), nil
	}
	var c resolver
	c.servers, c.search, c.options = s.networks.DNS()
	if len(given.servers) > 0 {
		c.servers = given.servers
	}
	if len(given.search) > 0 {
		c.search = given.search
	}
	if len(given.options) > 0 {
		c.options = given.options
	}
	return dns.Text(c.servers, c.search, c.options), nil
}

// dnsOf is what the container, or else the engine's configuration, says about
// name servers.
func (s *Service) dnsOf(r *Record) resolver {
	h := r.HostConfig
	c := resolver{s.defaults.DNS, s.defaults.DNSSearch, s.defaults.DNSOptions}
	if len(h.DNS) > 0 {
		c.servers = nil
		for _, a := range h.DNS {
			c.servers = append(c.servers, a.String())
		}
	}
	if len(h.DNSSearch) > 0 {
		c.search = h.DNSSearch
	}
	if len(h.DNSOptions) > 0 {
		c.options = h.DNSOptions
	}
	return c
}
