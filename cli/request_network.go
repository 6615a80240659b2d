package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// endpoints are the networks to join. --ip, --network-alias and the like are
// meant for the first of them.
func (c *containerFlags) endpoints() (map[string]*network.EndpointSettings, error) {
	list := c.network.Values
	if len(list) == 0 {
		list = []opts.Attachment{{Target: "default"}}
	}
	out := map[string]*network.EndpointSettings{}
	var own, builtin bool
	for i, a := range list {
		if container.NetworkMode(a.Target).IsUserDefined() {
			own = true
		} else {
			builtin = true
		}
		if i == 0 {
			if err := c.first(&a); err != nil {
				return nil, err
			}
		}
		ep, err := endpoint(a)
		if err != nil {
			return nil, err
		}
		if _, twice := out[a.Target]; twice {
			return nil, fmt.Errorf("network %q is specified multiple times", a.Target)
		}
		// One network without options is the mode alone.
		if len(c.network.Values) == 1 && reflect.DeepEqual(*ep, network.EndpointSettings{}) {
			continue
		}
		out[a.Target] = ep
	}
	if own && builtin {
		return nil, errors.New("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
	}
	return out, nil
}

// first merges the flags for one network into its long form.
func (c *containerFlags) first(a *opts.Attachment) error {
	for _, v := range []struct {
		both        bool
		flag, thing string
	}{
		{len(a.Aliases) > 0 && len(c.alias.Values) > 0, "--network-alias", "alias"},
		{len(a.Links) > 0 && len(c.link.Values) > 0, "--link", "links"},
		{a.IPv4 != "" && c.ip != "", "--ip", "IPv4 address"},
		{a.IPv6 != "" && c.ip6 != "", "--ip6", "IPv6 address"},
		{a.MAC != "" && c.mac != "", "--mac-address", "MAC address"},
		{len(a.LinkLocalIPs) > 0 && len(c.linkLocalIP.Values) > 0, "--link-local-ip", "link-local IP addresses"},
	} {
		if v.both {
			return fmt.Errorf("conflicting options: cannot specify both %s and per-network %s", v.flag, v.thing)
		}
	}
	if len(c.alias.Values) > 0 {
		a.Aliases = c.alias.Values
	}
	// On the default bridge a link is the container's; elsewhere the
	// endpoint's.
	if container.NetworkMode(a.Target).IsUserDefined() && len(c.link.Values) > 0 {
		a.Links = c.link.Values
	}
	if c.ip != "" {
		a.IPv4 = c.ip
	}
	if c.ip6 != "" {
		a.IPv6 = c.ip6
	}
	if c.mac != "" {
		a.MAC = c.mac
	}
	if len(c.linkLocalIP.Values) > 0 {
		a.LinkLocalIPs = c.linkLocalIP.Values
	}
	return nil
}

func endpoint(a opts.Attachment) (*network.EndpointSettings, error) {
	if strings.TrimSpace(a.Target) == "" {
		return nil, errors.New("no name set for network")
	}
	if !container.NetworkMode(a.Target).IsUserDefined() {
		if len(a.Aliases) > 0 {
			return nil, errors.New("network-scoped aliases are only supported for user-defined networks")
		}
		if len(a.Links) > 0 {
			return nil, errors.New("links are only supported for user-defined networks")
		}
	}
	ep := &network.EndpointSettings{Aliases: a.Aliases, Links: a.Links, DriverOpts: a.DriverOpts, GwPriority: a.GwPriority}
	if a.IPv4 != "" || a.IPv6 != "" || len(a.LinkLocalIPs) > 0 {
		ep.IPAMConfig = &network.EndpointIPAMConfig{}
		var err error
		if ep.IPAMConfig.IPv4Address, err = address("IPv4", a.IPv4, netip.Addr.Is4); err != nil {
			return nil, err
		}
		if ep.IPAMConfig.IPv6Address, err = address("IPv6", a.IPv6, netip.Addr.Is6); err != nil {
			return nil, err
		}
		if len(a.LinkLocalIPs) > 0 {
			ep.IPAMConfig.LinkLocalIPs = addrs(a.LinkLocalIPs)
		}
	}
	if a.MAC != "" {
		mac, err := net.ParseMAC(strings.TrimSpace(a.MAC))
		if err != nil {
			return nil, fmt.Errorf("%s is not a valid mac address", a.MAC)
		}
		ep.MacAddress = network.HardwareAddr(mac)
	}
	return ep, nil
}

func address(family, s string, is func(netip.Addr) bool) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !is(a) {
		return netip.Addr{}, fmt.Errorf("invalid %s address: %s", family, s)
	}
	return a, nil
}
