package e2e

import (
	"net/netip"

	nettypes "github.com/moby/moby/api/types/network"
)

// attached is a request for the default network with an endpoint.
func attached(change func(*nettypes.EndpointSettings)) func(*request) {
	return func(r *request) {
		e := &nettypes.EndpointSettings{}
		if change != nil {
			change(e)
		}
		r.NetworkingConfig.EndpointsConfig = map[string]*nettypes.EndpointSettings{"bridge": e}
	}
}

var probedPort = nettypes.MustParsePort("99/tcp")

func published(b nettypes.PortBinding) func(*request) {
	return func(r *request) { r.HostConfig.PortBindings = nettypes.PortMap{probedPort: {b}} }
}

// networkProbes: the default network. User-defined ones have stories of their own.
var networkProbes = []probe{
	{field: "HostConfig.PortBindings", does: "published ports", look: ports, want: "99/tcp", set: published(nettypes.PortBinding{HostIP: addr("127.0.0.1")})},
	{field: "PortBinding.HostIP", does: "address of the host", look: ports, want: "127.0.0.9", base: published(nettypes.PortBinding{}), set: published(nettypes.PortBinding{HostIP: addr("127.0.0.9")})},
	{field: "PortBinding.HostPort", does: "port of the host, or a range; empty: a free one", look: ports, want: "45999", base: published(nettypes.PortBinding{}), set: published(nettypes.PortBinding{HostIP: addr("127.0.0.1"), HostPort: "45999"})},
	{field: "HostConfig.PublishAllPorts", does: "exposed ports are published on free ones", base: func(r *request) { r.Config.ExposedPorts = nettypes.PortSet{probedPort: {}} }, look: ports, set: func(r *request) { r.HostConfig.PublishAllPorts = true }},
	{field: "HostConfig.DNS", does: "name servers of resolv.conf", run: "cat /etc/resolv.conf", want: "192.0.2.7", set: func(r *request) { r.HostConfig.DNS = []netip.Addr{addr("192.0.2.7")} }},
	{field: "HostConfig.DNSOptions", does: "options of resolv.conf", run: "cat /etc/resolv.conf", want: "ndots:9", set: func(r *request) { r.HostConfig.DNSOptions = []string{"ndots:9"} }},
	{field: "HostConfig.DNSSearch", does: "search list of resolv.conf", run: "cat /etc/resolv.conf", want: "probe.org", set: func(r *request) { r.HostConfig.DNSSearch = []string{"probe.org"} }},
	{field: "HostConfig.ExtraHosts", does: "lines of /etc/hosts; host-gateway is the host's address on the network, or else on the default one", run: "cat /etc/hosts", want: "192.0.2.8\tprobe", set: func(r *request) { r.HostConfig.ExtraHosts = []string{"probe:192.0.2.8"} }},
	{field: "HostConfig.Links", does: "names in /etc/hosts and variables, as Docker's on the default bridge", run: "grep -c '\to otherhost other$' /etc/hosts; env", want: "1\n", set: func(r *request) { r.HostConfig.Links = []string{"other:o"} }},
	{field: "HostConfig.Links", run: "env", want: "O_PORT_99_TCP_PORT=99", set: func(r *request) { r.HostConfig.Links = []string{"other:o"} }},
	{field: "HostConfig.Links", run: "env", want: "O_ENV_PROBE=link", set: func(r *request) { r.HostConfig.Links = []string{"other:o"} }},
	{field: "HostConfig.Links", refused: "could not get container for nobody", set: func(r *request) { r.HostConfig.Links = []string{"nobody:o"} }},
	{field: "HostConfig.Links", refused: "bad format for links: a:b:c", set: func(r *request) { r.HostConfig.Links = []string{"a:b:c"} }},
	{field: "NetworkingConfig.EndpointsConfig", does: "the networks, by name", run: "cat /sys/class/net/eth0/address", want: "02:42:00:00:00:77", set: attached(func(e *nettypes.EndpointSettings) { e.MacAddress = nettypes.HardwareAddr{2, 0x42, 0, 0, 0, 0x77} })},
	{field: "EndpointSettings.MacAddress", does: "address of the link", run: "cat /sys/class/net/eth0/address", want: "02:42:00:00:00:78", set: attached(func(e *nettypes.EndpointSettings) { e.MacAddress = nettypes.HardwareAddr{2, 0x42, 0, 0, 0, 0x78} })},
	{
		field: "EndpointSettings.IPAMConfig", does: "a chosen address; only on user-defined networks, as with Docker", run: "ip addr show eth0", want: "10.213.7.76/24", base: onNetwork(nil),
		set: onNetwork(func(e *nettypes.EndpointSettings) {
			e.IPAMConfig = &nettypes.EndpointIPAMConfig{IPv4Address: addr("10.213.7.76")}
		}),
	},
	{
		field: "EndpointSettings.IPAMConfig", refused: "user specified IP address is supported on user defined networks only",
		set: attached(func(e *nettypes.EndpointSettings) {
			e.IPAMConfig = &nettypes.EndpointIPAMConfig{IPv4Address: addr("172.17.0.77")}
		}),
	},
	{
		field: "EndpointIPAMConfig.IPv4Address", does: "IPv4 address on a user-defined network", run: "ip addr show eth0", want: "10.213.7.77/24", base: onNetwork(nil),
		set: onNetwork(func(e *nettypes.EndpointSettings) {
			e.IPAMConfig = &nettypes.EndpointIPAMConfig{IPv4Address: addr("10.213.7.77")}
		}),
	},
	{
		field: "EndpointIPAMConfig.IPv4Address", refused: "user defined networks only",
		set: attached(func(e *nettypes.EndpointSettings) {
			e.IPAMConfig = &nettypes.EndpointIPAMConfig{IPv4Address: addr("172.17.0.77")}
		}),
	},
	{
		field: "EndpointIPAMConfig.IPv6Address", does: "IPv6 address on a user-defined network", run: "ip addr show eth0", want: "fd13:7::77/64", base: onNetwork(nil),
		set: onNetwork(func(e *nettypes.EndpointSettings) {
			e.IPAMConfig = &nettypes.EndpointIPAMConfig{IPv6Address: addr("fd13:7::77")}
		}),
	},
	{
		field: "EndpointIPAMConfig.IPv6Address", refused: "user defined networks only",
		set: attached(func(e *nettypes.EndpointSettings) {
			e.IPAMConfig = &nettypes.EndpointIPAMConfig{IPv6Address: addr("fd00::7")}
		}),
	},
	{
		field: "EndpointIPAMConfig.LinkLocalIPs", does: "link-local addresses on a user-defined network", run: "ip addr show eth0", want: "169.254.7.7", base: onNetwork(nil),
		set: onNetwork(func(e *nettypes.EndpointSettings) {
			e.IPAMConfig = &nettypes.EndpointIPAMConfig{LinkLocalIPs: []netip.Addr{addr("169.254.7.7")}}
		}),
	},
	{
		field: "EndpointIPAMConfig.LinkLocalIPs", refused: "user defined networks only",
		set: attached(func(e *nettypes.EndpointSettings) {
			e.IPAMConfig = &nettypes.EndpointIPAMConfig{LinkLocalIPs: []netip.Addr{addr("169.254.7.7")}}
		}),
	},
	{
		field: "EndpointSettings.Aliases", does: "further names; only on user-defined networks, as with Docker", run: "ping -c 1 -w 5 myalias 2>&1 | head -1", want: "PING myalias (", base: onNetwork(nil),
		set: onNetwork(func(e *nettypes.EndpointSettings) { e.Aliases = []string{"myalias"} }),
	},
	{
		field: "EndpointSettings.Aliases", refused: "network-scoped alias is supported only for containers in user defined networks",
		set: attached(func(e *nettypes.EndpointSettings) { e.Aliases = []string{"probe"} }),
	},
	{
		field: "EndpointSettings.DriverOpts", does: "sysctls of the interface, on a user-defined network", run: "cat /proc/sys/net/ipv4/conf/eth0/log_martians", want: "1", base: onNetwork(nil),
		set: onNetwork(func(e *nettypes.EndpointSettings) {
			e.DriverOpts = map[string]string{"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"}
		}),
	},
	{field: "EndpointSettings.DriverOpts", refused: "unknown driver option", set: attached(func(e *nettypes.EndpointSettings) { e.DriverOpts = map[string]string{"a": "b"} })},
	{
		field: "EndpointSettings.GwPriority", does: "which network has the default route; with one it is that one", run: "ip route | grep default", want: "10.213.8.1",
		base: func(r *request) {
			onNetwork(nil)(r)
			r.NetworkingConfig.EndpointsConfig["probed2"] = &nettypes.EndpointSettings{}
		}, set: func(r *request) { r.NetworkingConfig.EndpointsConfig["probed2"].GwPriority = 7 },
	},
}

// answers are fields that the engine writes, for readers of inspect. What a
// request says there means nothing, as with Docker: clients send back what they
// have read.
var answers = map[string]func(*nettypes.EndpointSettings){
	"EndpointSettings.NetworkID":           func(e *nettypes.EndpointSettings) { e.NetworkID = "rubbish" },
	"EndpointSettings.EndpointID":          func(e *nettypes.EndpointSettings) { e.EndpointID = "rubbish" },
	"EndpointSettings.Gateway":             func(e *nettypes.EndpointSettings) { e.Gateway = addr("192.0.2.66") },
	"EndpointSettings.IPAddress":           func(e *nettypes.EndpointSettings) { e.IPAddress = addr("192.0.2.66") },
	"EndpointSettings.IPPrefixLen":         func(e *nettypes.EndpointSettings) { e.IPPrefixLen = 66 },
	"EndpointSettings.IPv6Gateway":         func(e *nettypes.EndpointSettings) { e.IPv6Gateway = addr("fd66::66") },
	"EndpointSettings.GlobalIPv6Address":   func(e *nettypes.EndpointSettings) { e.GlobalIPv6Address = addr("fd66::66") },
	"EndpointSettings.GlobalIPv6PrefixLen": func(e *nettypes.EndpointSettings) { e.GlobalIPv6PrefixLen = 66 },
	"EndpointSettings.DNSNames":            func(e *nettypes.EndpointSettings) { e.DNSNames = []string{"rubbish"} },
}
