package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// AddressPool is address space that subnets of networks are cut from.
type AddressPool struct {
	Base string `json:"base"` // CIDR
	Size int    `json:"size"` // prefix length of each subnet
}

// Prefix is the pool's base, which must have been validated.
func (p AddressPool) Prefix() netip.Prefix { return netip.MustParsePrefix(p.Base).Masked() }

func (p AddressPool) check() error {
	base, err := netip.ParsePrefix(p.Base)
	if err != nil {
		return fmt.Errorf("invalid default-address-pools: invalid CIDR address: %s", p.Base)
	}
	if p.Size < base.Bits() || p.Size > base.Addr().BitLen() || base.Addr().Is4() && p.Size > 30 {
		return fmt.Errorf("invalid default-address-pools: %s has no subnets of size %d", p.Base, p.Size)
	}
	return nil
}

// pools is a repeated base=CIDR,size=N flag.
type pools struct{ list *[]AddressPool }

func (p pools) String() string { return "" }

// Type names the value in the usage text.
func (p pools) Type() string { return "pool" }

// Set adds one.
func (p pools) Set(text string) error {
	var pool AddressPool
	for field := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(field, "=")
		switch strings.TrimSpace(key) {
		case "base":
			pool.Base = strings.TrimSpace(value)
		case "size":
			size, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				return fmt.Errorf("invalid size value: %q", value)
			}
			pool.Size = size
		default:
			return fmt.Errorf("unexpected key %q: want base=CIDR,size=N", key)
		}
	}
	*p.list = append(*p.list, pool)
	return pool.check()
}

// networkOpts is a repeated driver=key=value flag.
type networkOpts map[string]map[string]string

func (o networkOpts) String() string { return "" }

// Type names the value in the usage text.
func (o networkOpts) Type() string { return "driver=key=value" }

// Set adds one.
func (o networkOpts) Set(text string) error {
	driver, pair, _ := strings.Cut(text, "=")
	key, value, ok := strings.Cut(pair, "=")
	if !ok || driver == "" || key == "" {
		return fmt.Errorf("must be driver=key=value")
	}
	if o[driver] == nil {
		o[driver] = map[string]string{}
	}
	o[driver][key] = value
	return nil
}

// Mark is bridge-accept-fwmark, which must have been validated; zero: none.
func (c *Config) Mark() (mark, mask uint32) {
	mark, mask, _ = parseMark(c.AcceptMark)
	return mark, mask
}

// parseMark reads MARK[/MASK].
func parseMark(s string) (mark, mask uint32, err error) {
	if s == "" {
		return 0, 0, nil
	}
	text, bits, has := strings.Cut(s, "/")
	m, err := strconv.ParseUint(text, 0, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("invalid firewall mark %q", s)
	}
	k := uint64(0xffffffff)
	if has {
		if k, err = strconv.ParseUint(bits, 0, 32); err != nil || k == 0 {
			return 0, 0, fmt.Errorf("invalid firewall mask %q", s)
		}
	}
	return uint32(m & k), uint32(k), nil
}

// checkHome checks what the default network is to be.
func (c *Config) checkHome() error {
	for _, f := range []struct {
		key, bip, part, gateway string
		six                     bool
	}{{"", c.BIP, c.FixedCIDR, c.Gateway, false}, {"6", c.BIP6, c.FixedCIDR6, c.Gateway6, true}} {
		if f.six && !c.IPv6 && f.bip+f.part+f.gateway != "" {
			return fmt.Errorf("bip6, fixed-cidr-v6 and default-gateway-v6 need ipv6")
		}
		network, err := checkBIP("bip"+f.key, f.bip, f.six)
		if err != nil {
			return err
		}
		if f.part != "" {
			p, err := netip.ParsePrefix(f.part)
			switch {
			case err != nil:
				return fmt.Errorf("invalid fixed-cidr: invalid CIDR address: %s", f.part)
			case p.Addr().Is6() != f.six || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast():
				return fmt.Errorf("invalid fixed-cidr: %s is not one of containers' networks", f.part)
			case network.IsValid() && (p.Bits() < network.Bits() || !network.Contains(p.Addr())):
				return fmt.Errorf("invalid fixed-cidr: %s is not within %s", f.part, network)
			case !network.IsValid():
				network = p.Masked()
			}
		}
		if f.gateway != "" {
			a, err := netip.ParseAddr(f.gateway)
			if err != nil || a.Is6() != f.six || network.IsValid() && !network.Contains(a) {
				return fmt.Errorf("invalid default gateway: %s is not an address of the default network", f.gateway)
			}
		}
	}
	if _, err := netip.ParseAddr(c.PublishIP); c.PublishIP != "" && err != nil {
		return fmt.Errorf("invalid ip: %q is not an IP address", c.PublishIP)
	}
	if c.DirectRouting && c.PublishPolicy == "loopback" {
		return fmt.Errorf("allow-direct-routing opens published ports to others, publish-policy loopback does not: choose one")
	}
	_, _, err := parseMark(c.AcceptMark)
	return err
}

// checkBIP returns the network of a bridge's address.
func checkBIP(key, bip string, six bool) (netip.Prefix, error) {
	if bip == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(bip)
	if err != nil {
		return p, fmt.Errorf("invalid %s: invalid CIDR address: %s", key, bip)
	}
	family, room := "IPv4", p.Bits() >= 8 && p.Bits() <= 30
	if six {
		family, room = "IPv6", p.Bits() >= 8 && p.Bits() <= 126 && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsMulticast()
	}
	if p.Addr().Is6() != six || !room || p.Addr() == p.Masked().Addr() {
		return p, fmt.Errorf("invalid %s: %s is not the %s address of a host in its network", key, bip, family)
	}
	return p.Masked(), nil
}

func addFlagsOfNetworks(fs *pflag.FlagSet, c *Config) {
	fs.StringVarP(&c.Bridge, "bridge", "b", c.Bridge, "Name of the default bridge")
	fs.StringVar(&c.BIP, "bip", c.BIP, "Address of the default bridge, as ADDRESS/PREFIX")
	fs.StringVar(&c.FixedCIDR, "fixed-cidr", "", "Part of the default network from which containers get addresses")
	fs.StringVar(&c.Gateway, "default-gateway", "", "Way out of the default network; the bridge if empty")
	fs.BoolVar(&c.IPv6, "ipv6", false, "The default network has IPv6")
	fs.StringVar(&c.BIP6, "bip6", "", "IPv6 address of the default bridge, as ADDRESS/PREFIX")
	fs.StringVar(&c.FixedCIDR6, "fixed-cidr-v6", "", "The same as fixed-cidr for IPv6; without bip6, the network")
	fs.StringVar(&c.Gateway6, "default-gateway-v6", "", "The same as default-gateway for IPv6")
	fs.BoolVar(&c.ICC, "icc", c.ICC, "Containers of the default network reach each other")
	fs.BoolVar(&c.Masquerade, "ip-masq", c.Masquerade, "Containers of the default network go out under the host's address")
	fs.StringVar(&c.PublishIP, "ip", c.PublishIP, "Address of ports of the default network that are published without one; 0.0.0.0: all")
	fs.BoolVar(&c.Forward, "ip-forward", c.Forward, "Switch forwarding on in the kernel")
	fs.BoolVar(&c.DirectRouting, "allow-direct-routing", false, "Who is outside reaches published ports at containers' own addresses, too")
	fs.StringVar(&c.AcceptMark, "bridge-accept-fwmark", "", "Let packets with this mark in to bridge networks (MARK[/MASK])")
	fs.IntVar(&c.MTU, "mtu", c.MTU, "MTU of the default bridge; 0: chosen")
	fs.Var(pools{&c.AddressPools}, "default-address-pool", "Where subnets of networks are taken from that name none (base=CIDR,size=N)")
	fs.Var(networkOpts(c.NetworkOpts), "default-network-opt", "Option of networks that are made without it (DRIVER=KEY=VALUE)")
}
