package container

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/network"
)

// parseHostPort reads "", "8080" or "8000-8010": the first and, for ranges,
// the last port. 0 means any.
func parseHostPort(s string) (first, last uint16, err error) {
	if s == "" {
		return 0, 0, nil
	}
	from, to, ranged := strings.Cut(s, "-")
	a, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return 0, 0, invalid("invalid port specification: %q", s)
	}
	if !ranged {
		return uint16(a), 0, nil
	}
	b, err := strconv.ParseUint(to, 10, 16)
	if err != nil || b < a || a == 0 {
		return 0, 0, invalid("invalid port specification: %q", s)
	}
	if a == b {
		return uint16(a), 0, nil
	}
	return uint16(a), uint16(b), nil
}

// portSpecs is what the network is asked to publish, in a stable order: fixed
// ports before those that may be chosen, so that a choice never takes what
// another entry asks for by number.
func portSpecs(c *container.Config, h *container.HostConfig) ([]network.PortSpec, error) {
	var specs []network.PortSpec
	for _, port := range inOrder(h.PortBindings) { // almost as they are sorted below
		if !port.IsValid() || port.Num() == 0 {
			return nil, invalid("invalid port specification: %q", port.String())
		}
		if p := port.Proto(); p != nettypes.TCP && p != nettypes.UDP && p != nettypes.SCTP {
			return nil, invalid("invalid port specification: invalid proto '%s'", p)
		}
		for _, b := range port.has {
			first, last, err := parseHostPort(b.HostPort)
			if err != nil {
				return nil, err
			}
			specs = append(specs, network.PortSpec{
				HostIP: b.HostIP, HostPort: first, HostPortEnd: last, ContainerPort: port.Num(), Proto: string(port.Proto()),
			})
		}
	}
	if h.PublishAllPorts {
		for port := range c.ExposedPorts {
			if len(h.PortBindings[port]) == 0 {
				specs = append(specs, network.PortSpec{ContainerPort: port.Num(), Proto: string(port.Proto())})
			}
		}
	}
	slices.SortStableFunc(specs, func(a, b network.PortSpec) int {
		if d := freedom(a) - freedom(b); d != 0 {
			return d
		}
		if d := int(a.ContainerPort) - int(b.ContainerPort); d != 0 {
			return d
		}
		return strings.Compare(a.Proto, b.Proto)
	})
	return specs, nil
}

// freedom is how much there is to choose: nothing, within a range, anything.
func freedom(p network.PortSpec) int {
	switch {
	case p.HostPort == 0:
		return 2
	case p.HostPortEnd != 0:
		return 1
	}
	return 0
}
