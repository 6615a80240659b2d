package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/network"
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
	hosts, err := s.hostsFile(r, res)
	if err != nil {
		return err
	}
	resolv, err := s.resolvConf(r)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"hostname": r.Config.Hostname + "\n", "hosts": hosts, "resolv.conf": resolv,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("write /etc/%s of the container: %w", name, err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
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

func (s *Service) hostsFile(r *Record, res *network.Result) (string, error) {
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
			if addr, err = s.gatewayAddr(res); err != nil {
				return "", err
			}
		}
		fmt.Fprintf(&b, "%s\t%s\n", addr, name)
	}
	if res != nil {
		names := r.Config.Hostname
		if r.Config.Domainname != "" {
			names = r.Config.Hostname + "." + r.Config.Domainname + " " + r.Config.Hostname
		}
		for _, e := range res.Endpoints {
			fmt.Fprintf(&b, "%s\t%s\n", e.IPv4.Addr(), names)
		}
	}
	return b.String(), nil
}

func (s *Service) gatewayAddr(res *network.Result) (string, error) {
	switch {
	case s.defaults.HostGatewayIP != "":
		return s.defaults.HostGatewayIP, nil
	case res != nil && len(res.Endpoints) > 0 && res.Endpoints[0].Gateway.IsValid():
		return res.Endpoints[0].Gateway.String(), nil
	}
	return "", invalid("unable to derive the IP value for host-gateway")
}

func (s *Service) resolvConf(r *Record) (string, error) {
	if r.HostConfig.NetworkMode.IsHost() && len(r.HostConfig.DNS)+len(r.HostConfig.DNSSearch)+len(r.HostConfig.DNSOptions) == 0 &&
		len(s.defaults.DNS)+len(s.defaults.DNSSearch)+len(s.defaults.DNSOptions) == 0 {
		content, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("write /etc/resolv.conf of the container: %w", err)
		}
		return string(content), nil
	}
	var c resolver
	c.servers, c.search, c.options = s.networks.DNS()
	if len(s.defaults.DNS) > 0 {
		c.servers = s.defaults.DNS
	}
	if len(s.defaults.DNSSearch) > 0 {
		c.search = s.defaults.DNSSearch
	}
	if len(s.defaults.DNSOptions) > 0 {
		c.options = s.defaults.DNSOptions
	}
	if len(r.HostConfig.DNS) > 0 {
		c.servers = nil
		for _, a := range r.HostConfig.DNS {
			c.servers = append(c.servers, a.String())
		}
	}
	if len(r.HostConfig.DNSSearch) > 0 {
		c.search = r.HostConfig.DNSSearch
	}
	if len(r.HostConfig.DNSOptions) > 0 {
		c.options = r.HostConfig.DNSOptions
	}
	return c.String(), nil
}

// String is the text of the file. A search list of "." means none.
func (c resolver) String() string {
	var b strings.Builder
	for _, a := range c.servers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(c.search) > 0 && !slices.Equal(c.search, []string{"."}) {
		fmt.Fprintf(&b, "search %s\n", strings.Join(c.search, " "))
	}
	if len(c.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(c.options, " "))
	}
	return b.String()
}
