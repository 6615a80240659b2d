package container

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
)

// planEndpoints checks the networks of a request and returns them by their
// names. That one does not exist is said at the start, as by Docker.
func (s *Service) planEndpoints(h *container.HostConfig, n *nettypes.NetworkingConfig) (map[string]*nettypes.EndpointSettings, error) {
	mode := h.NetworkMode
	if mode.IsContainer() {
		if n == nil {
			return nil, nil
		}
		for ref, asked := range n.EndpointsConfig {
			if ref != string(mode) {
				return nil, invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
			}
			if asked == nil {
				continue
			}
			if err := validateEndpoint(ref, asked); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	first := s.networkName(string(mode))
	out := map[string]*nettypes.EndpointSettings{}
	if n != nil {
		for ref, asked := range n.EndpointsConfig {
			name := s.networkName(ref)
			if (mode.IsHost() || mode.IsNone()) && name != string(mode) || out[name] != nil {
				return nil, invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
			}
			if asked == nil {
				asked = &nettypes.EndpointSettings{}
			}
			if err := validateEndpoint(name, asked); err != nil {
				return nil, err
			}
			out[name] = configOnly(asked)
		}
	}
	if mode.IsHost() {
		return out, nil
	}
	if out[first] == nil {
		out[first] = &nettypes.EndpointSettings{}
	}
	return out, nil
}

// configOnly leaves out what clients send back that is the engine's to say.
func configOnly(e *nettypes.EndpointSettings) *nettypes.EndpointSettings {
	c := e.Copy()
	return &nettypes.EndpointSettings{
		IPAMConfig: c.IPAMConfig, Links: c.Links, Aliases: c.Aliases, DriverOpts: c.DriverOpts, GwPriority: c.GwPriority, MacAddress: c.MacAddress,
	}
}

// validateEndpoint checks what is wanted of one network, as far as that can be
// known without it. The texts are Docker's.
func validateEndpoint(name string, e *nettypes.EndpointSettings) error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	ip := e.IPAMConfig
	if ip == nil {
		ip = &nettypes.EndpointIPAMConfig{}
	}
	mode := container.NetworkMode(name)
	if mode.IsHost() || mode.IsNone() || mode.IsContainer() {
		// No interface is the container's own. Docker refuses only some of it.
		switch {
		case len(e.MacAddress) > 0:
			return invalid("conflicting options: mac-address and the network mode")
		case len(e.DriverOpts) > 0:
			return invalid("conflicting options: driver options and the network mode")
		}
	}
	if !mode.IsUserDefined() {
		if ip.IPv4Address.IsValid() || ip.IPv6Address.IsValid() || len(ip.LinkLocalIPs) > 0 {
			add("user specified IP address is supported on user defined networks only")
		}
		if len(e.Aliases) > 0 {
			add("network-scoped alias is supported only for containers in user defined networks")
		}
		if len(e.Links) > 0 {
			add("links are only supported for user-defined networks")
		}
	}
	if a := ip.IPv4Address; a.IsValid() && (!a.Is4() && !a.Is4In6() || a.IsUnspecified()) {
		add("invalid IPv4 address: %s", a)
	}
	if a := ip.IPv6Address; a.IsValid() && (!a.Is6() || a.Is4In6() || a.IsUnspecified() || a.Zone() != "") {
		add("invalid IPv6 address: %s", a)
	}
	for _, a := range ip.LinkLocalIPs {
		if !a.IsValid() || a.IsUnspecified() {
			add("invalid link-local IP address: %s", a)
		}
	}
	for _, alias := range e.Aliases {
		if alias == "" || strings.ContainsAny(alias, " \t\n\x00") {
			add("invalid network-scoped alias %q", alias)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return invalid("invalid endpoint settings:\n%v", err)
	}
	return nil
}
