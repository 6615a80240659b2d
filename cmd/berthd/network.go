package main

import (
	"net/netip"

	"github.com/berth-engine/berth/config"
	"github.com/berth-engine/berth/network"
)

// defaultNetwork is what the settings, which were validated, say about the
// default network.
func defaultNetwork(c *config.Config) network.HomeOptions {
	// What is not set is "", and zero.
	prefix := func(s string) netip.Prefix { p, _ := netip.ParsePrefix(s); return p }
	addr := func(s string) netip.Addr { a, _ := netip.ParseAddr(s); return a.Unmap() }
	return network.HomeOptions{
		BIP: prefix(c.BIP), Range: prefix(c.FixedCIDR), Gateway: addr(c.Gateway),
		IPv6: c.IPv6, BIP6: prefix(c.BIP6), Range6: prefix(c.FixedCIDR6), Gateway6: addr(c.Gateway6),
		NoICC: !c.ICC, NoMasquerade: !c.Masquerade, Binding: addr(c.PublishIP),
	}
}

// hostGateway is the address by which steps of builds reach the host.
func hostGateway(c *config.Config, networks *network.Manager) string {
	if ip := c.GatewayIP(); ip != "" {
		return ip
	}
	return networks.HostAddress(&network.Result{}).String()
}
