package network

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/network/nft"
)

// Options of networks, by Docker's names.
const (
	optBridgeName = "com.docker.network.bridge.name"
	optPrefix     = "com.docker.network.container_iface_prefix"
	optMTU        = "com.docker.network.driver.mtu"
	optDefault    = "com.docker.network.bridge.default_bridge"
	optICC        = "com.docker.network.bridge.enable_icc"
	optMasquerade = "com.docker.network.bridge.enable_ip_masquerade"
	optBinding    = "com.docker.network.bridge.host_binding_ipv4"
	optGateway4   = "com.docker.network.bridge.gateway_mode_ipv4"
	optGateway6   = "com.docker.network.bridge.gateway_mode_ipv6"
	optInhibit    = "com.docker.network.bridge.inhibit_ipv4"
	optTrusted    = "com.docker.network.bridge.trusted_host_interfaces"
	optSource4    = "com.docker.network.host_ipv4"
	optSource6    = "com.docker.network.host_ipv6"
	optIPv4       = "com.docker.network.enable_ipv4"
	optIPv6       = "com.docker.network.enable_ipv6"

	// optGuard is Berth's own: whether containers are kept from speaking under
	// others' addresses.
	optGuard = "berth.bridge.guard"
)

// bridgeOptions are the options of a bridge network, read.
type bridgeOptions struct {
	name         string // of the link
	prefix       string // of containers' interfaces
	mtu          int    // 0: chosen
	noICC        bool
	noMasquerade bool
	inhibit      bool       // no IPv4 address on the bridge
	unguarded    bool       // containers may take each other's addresses
	binding      netip.Addr // for ports that are published without an address
	gateway4     nft.Gateway
	gateway6     nft.Gateway
	trusted      []string
	source4      netip.Addr
	source6      netip.Addr
}

// parseBridge reads the options of a bridge network. One that nothing would
// heed is refused.
func parseBridge(d *Definition) (o bridgeOptions, err error) {
	o.name, o.prefix = "br-"+d.ID[:12], "eth"
	for _, key := range slices.Sorted(maps.Keys(d.Options)) {
		if err := o.set(key, d.Options[key]); err != nil {
			return o, err
		}
	}
	for _, mode := range []nft.Gateway{o.gateway4, o.gateway6} {
		if mode == nft.Isolated && !d.Internal {
			return o, invalid("gateway mode 'isolated' can only be used for an internal network")
		}
		if d.Internal && mode != "" && mode != nft.Isolated {
			return o, invalid("gateway mode '%s' cannot be used on an internal network", mode)
		}
	}
	return o, nil
}

// toggle reads a boolean option into what says the opposite or the same.
func toggle(key, value string, into *bool, inverse bool) error {
	on, err := strconv.ParseBool(value)
	if err != nil {
		return invalid("%s: invalid value %q: a boolean is expected", key, value)
	}
	*into = on != inverse
	return nil
}

func (o *bridgeOptions) set(key, value string) (err error) {
	switch key {
	case optICC:
		return toggle(key, value, &o.noICC, true)
	case optMasquerade:
		return toggle(key, value, &o.noMasquerade, true)
	case optInhibit:
		return toggle(key, value, &o.inhibit, false)
	case optGuard:
		return toggle(key, value, &o.unguarded, true)
	case optBridgeName:
		o.name = value
		return checkLink(key, value)
	case optPrefix:
		o.prefix = value
		return checkLink(key, value+"0")
	case optMTU:
		o.mtu, err = parseMTU(value)
	case optGateway4:
		o.gateway4, err = parseGateway(value)
	case optGateway6:
		o.gateway6, err = parseGateway(value)
	case optTrusted:
		o.trusted = strings.FieldsFunc(value, func(r rune) bool { return r == ':' })
		for _, name := range o.trusted {
			err = errors.Join(err, checkLink(key, name))
		}
	case optBinding:
		o.binding, err = parseAddr(key, value)
	case optSource4:
		o.source4, err = parseAddr(key, value)
	case optSource6:
		o.source6, err = parseAddr(key, value)
	case optDefault, optIPv4, optIPv6:
	default:
		return invalid("unknown option %q of driver bridge", key)
	}
	return err
}

// parseMTU reads how long packets may be, in bytes: from what IPv4 needs (RFC 791,
// 3.2) to what its header can say. 0: it is chosen.
func parseMTU(value string) (int, error) {
	mtu, err := strconv.Atoi(value)
	if err != nil || mtu != 0 && mtu < 68 || mtu > 65535 {
		return 0, invalid("%s: invalid MTU %q", optMTU, value)
	}
	return mtu, nil
}

func parseAddr(key, value string) (netip.Addr, error) {
	a, err := netip.ParseAddr(value)
	if err != nil || a.Is6() != (key == optSource6) {
		return a, invalid("%s: invalid address %q", key, value)
	}
	return a, nil
}

func parseGateway(value string) (nft.Gateway, error) {
	switch g := nft.Gateway(value); g {
	case nft.NAT, nft.Unprotected, nft.Routed, nft.Isolated:
		return g, nil
	}
	return "", invalid("unknown gateway mode %s", value)
}

// checkLink tells whether a link can have a name.
func checkLink(key, name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\x00") {
		return invalid("%s: invalid interface name %q", key, name)
	}
	return nil
}
