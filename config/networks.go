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

func addFlagsOfNetworks(fs *pflag.FlagSet, c *Config) {
	fs.Var(pools{&c.AddressPools}, "default-address-pool", "Where subnets of networks are taken from that name none (base=CIDR,size=N)")
	fs.Var(networkOpts(c.NetworkOpts), "default-network-opt", "Option of networks that are made without it (DRIVER=KEY=VALUE)")
}
