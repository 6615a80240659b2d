package cli

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

// networkFlags are the flags of network create that are not fields.
type networkFlags struct {
	subnets, ranges, gateways []string
	aux, ipamOpts, options    opts.Map
	ipamDriver                string
	labels                    opts.List
	ipv4, ipv6                bool
}

func newNetworkCreate(s *Session) *cobra.Command {
	var (
		o client.NetworkCreateOptions
		n networkFlags
	)
	n.labels.Check = opts.CheckLabel
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] NETWORK",
		Short: "Create a network",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("ipv4") {
				o.EnableIPv4 = &n.ipv4
			}
			if cmd.Flags().Changed("ipv6") {
				o.EnableIPv6 = &n.ipv6
			}
			o.Options, o.Labels = n.options.Values, opts.PairsToMap(n.labels.Values)
			configs, err := n.configs()
			if err != nil {
				return err
			}
			o.IPAM = &network.IPAM{Driver: n.ipamDriver, Options: n.ipamOpts.Values, Config: configs}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			r, err := api.NetworkCreate(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			for _, w := range r.Warning {
				fmt.Fprintln(s.IO.Err, "WARNING:", w)
			}
			fmt.Fprintln(s.IO.Out, r.ID)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Driver, "driver", "d", "bridge", "Driver to manage the Network")
	f.VarP(&n.options, "opt", "o", "Set driver specific options")
	f.Var(&n.labels, "label", "Set metadata on a network")
	f.BoolVar(&o.Internal, "internal", false, "Restrict external access to the network")
	f.BoolVar(&n.ipv4, "ipv4", true, "Enable or disable IPv4 address assignment")
	f.BoolVar(&n.ipv6, "ipv6", false, "Enable or disable IPv6 address assignment")
	f.BoolVar(&o.Attachable, "attachable", false, "Enable manual container attachment")
	f.BoolVar(&o.Ingress, "ingress", false, "Create swarm routing-mesh network")
	f.StringVar(&o.Scope, "scope", "", "Control the network's scope")
	f.BoolVar(&o.ConfigOnly, "config-only", false, "Create a configuration only network")
	f.StringVar(&o.ConfigFrom, "config-from", "", "The network from which to copy the configuration")
	f.StringVar(&n.ipamDriver, "ipam-driver", "default", "IP Address Management Driver")
	f.StringSliceVar(&n.subnets, "subnet", nil, "Subnet in CIDR format that represents a network segment")
	f.StringSliceVar(&n.ranges, "ip-range", nil, "Allocate container ip from a sub-range")
	f.StringSliceVar(&n.gateways, "gateway", nil, "IPv4 or IPv6 Gateway for the master subnet")
	f.Var(&n.aux, "aux-address", "Auxiliary IPv4 or IPv6 addresses used by Network driver")
	f.Var(&n.ipamOpts, "ipam-opt", "Set IPAM driver specific options")
	_ = cmd.RegisterFlagCompletionFunc("driver", completeWords("bridge", "cni", "ipvlan", "macvlan"))
	return cmd
}

// configs brings ranges, gateways and other addresses to the subnets that they
// belong to. The texts are Docker's.
func (n *networkFlags) configs() ([]network.IPAMConfig, error) {
	if len(n.subnets) < len(n.ranges) || len(n.subnets) < len(n.gateways) {
		return nil, errors.New("every ip-range or gateway must have a corresponding subnet")
	}
	var out []network.IPAMConfig
	for _, text := range n.subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("invalid subnet %s: invalid CIDR block notation", text)
		}
		if slices.ContainsFunc(out, func(c network.IPAMConfig) bool { return c.Subnet.Overlaps(p) }) {
			return nil, errors.New("multiple overlapping subnet configuration is not supported")
		}
		out = append(out, network.IPAMConfig{Subnet: p})
	}
	within := func(a netip.Addr) *network.IPAMConfig {
		for i := range out {
			if out[i].Subnet.Contains(a) {
				return &out[i]
			}
		}
		return nil
	}
	for _, text := range n.ranges {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("invalid ip-range %s: invalid CIDR block notation", text)
		}
		c := within(p.Addr())
		switch {
		case c == nil:
			return nil, fmt.Errorf("no matching subnet for range %s", text)
		case c.IPRange.IsValid():
			return nil, fmt.Errorf("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", text, c.IPRange, c.Subnet)
		}
		c.IPRange = p
	}
	for _, text := range n.gateways {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("invalid gateway %s: invalid address", text)
		}
		c := within(a)
		switch {
		case c == nil:
			return nil, fmt.Errorf("no matching subnet for gateway %s", text)
		case c.Gateway.IsValid():
			return nil, fmt.Errorf("cannot configure multiple gateways (%s, %s) for the same subnet (%s)", text, c.Gateway, c.Subnet)
		}
		c.Gateway = a
	}
	for _, name := range slices.Sorted(maps.Keys(n.aux.Values)) {
		text := strings.TrimSpace(n.aux.Values[name])
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("invalid auxiliary address %s: invalid address", text)
		}
		c := within(a)
		if c == nil {
			return nil, fmt.Errorf("no matching subnet for aux-address %s", text)
		}
		if c.AuxAddress == nil {
			c.AuxAddress = map[string]netip.Addr{}
		}
		c.AuxAddress[name] = a
	}
	return out, nil
}
