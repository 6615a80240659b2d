package network

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/network/ipam"
)

// ipamCapability is what a plugin implements that hands out addresses: Docker's
// protocol (moby, libnetwork/docs/ipam.md).
const ipamCapability = "IpamDriver"

// Options of address requests, by Docker's names.
const (
	optAddressType = "RequestAddressType"
	gatewayAddress = "com.docker.network.gateway"
)

// lease is a pool of a plugin that a subnet of a network is.
type lease struct {
	ID string `json:"id"`
	// NeedsMAC: the plugin wants to know the hardware address that an address is
	// for.
	NeedsMAC bool `json:"needs_mac,omitempty"`
}

// ownIPAM tells whether the engine hands out a network's addresses itself.
func ownIPAM(driver string) bool { return driver == "" || driver == "default" }

// ipamCall calls a method of an IPAM plugin.
func (m *Manager) ipamCall(ctx context.Context, name, method string, args any, ret failing) error {
	return m.callPlugin(ctx, name, ipamCapability, method, args, ret)
}

// poolAsked is a request for a pool, and poolGot the answer.
type poolAsked struct {
	AddressSpace, Pool, SubPool string
	Options                     map[string]string
	V6                          bool
}

type poolGot struct {
	outcome
	PoolID, Pool string
	Data         map[string]string
}

// requestPools has the plugin choose the network's subnets, gateways too. On an
// error it has none of them; afterwards, releasePools gives them back.
func (m *Manager) requestPools(ctx context.Context, d *Definition) (err error) {
	var can struct {
		outcome
		RequiresMACAddress, RequiresRequestReplay bool
	}
	if err := m.ipamCall(ctx, d.IPAMDriver, "GetCapabilities", nil, &can); err != nil && !unknown(err) {
		return err
	}
	if can.RequiresRequestReplay {
		return fmt.Errorf("IPAM driver %s wants all requests again when the engine starts: %w", d.IPAMDriver, errdefs.ErrNotImplemented)
	}
	var spaces struct {
		outcome
		LocalDefaultAddressSpace string
	}
	if err := m.ipamCall(ctx, d.IPAMDriver, "GetDefaultAddressSpaces", nil, &spaces); err != nil {
		return err
	}
	asked := d.Subnets
	d.Subnets, d.Leases = nil, nil
	defer func() {
		if err != nil {
			err = errors.Join(err, m.releasePools(context.WithoutCancel(ctx), d))
		}
	}()
	for _, six := range []bool{false, true} {
		if six && !d.IPv6 || !six && !d.IPv4 {
			continue
		}
		alone := true
		for _, s := range asked {
			if s.Prefix.Addr().Is6() == six {
				alone = false
				if err := m.requestPool(ctx, d, s, six, spaces.LocalDefaultAddressSpace, can.RequiresMACAddress); err != nil {
					return err
				}
			}
		}
		if alone {
			if err := m.requestPool(ctx, d, ipam.Subnet{}, six, spaces.LocalDefaultAddressSpace, can.RequiresMACAddress); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Manager) requestPool(ctx context.Context, d *Definition, s ipam.Subnet, six bool, space string, needsMAC bool) error {
	q := poolAsked{AddressSpace: space, Options: d.IPAMOpts, V6: six}
	if s.Prefix.IsValid() {
		q.Pool = s.Prefix.String()
	}
	if s.Range.IsValid() {
		q.SubPool = s.Range.String()
	}
	var got poolGot
	if err := m.ipamCall(ctx, d.IPAMDriver, "RequestPool", q, &got); err != nil {
		return err
	}
	prefix, err := netip.ParsePrefix(got.Pool)
	if err == nil && (prefix.Addr().Is6() != six || got.PoolID == "") {
		err = fmt.Errorf("pool %q is %s", got.PoolID, prefix)
	}
	if err != nil {
		err = fmt.Errorf("IPAM driver %s: %w", d.IPAMDriver, err)
		return errors.Join(err, m.ipamCall(context.WithoutCancel(ctx), d.IPAMDriver, "ReleasePool", map[string]string{"PoolID": got.PoolID}, &outcome{}))
	}
	s.Prefix = prefix.Masked()
	d.Subnets, d.Leases = append(d.Subnets, s), append(d.Leases, lease{got.PoolID, needsMAC})
	at := &d.Subnets[len(d.Subnets)-1]
	for _, a := range s.Aux {
		if _, err := m.requestAddress(ctx, d, len(d.Subnets)-1, a, nil); err != nil {
			return err
		}
	}
	if gateless, err := d.gateless(); err != nil || gateless {
		return err
	}
	if text := got.Data[gatewayAddress]; text != "" && !s.Gateway.IsValid() {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("IPAM driver %s: gateway: %w", d.IPAMDriver, err)
		}
		at.Gateway, at.Chosen = p.Addr(), true
		return nil
	}
	at.Chosen = !s.Gateway.IsValid()
	at.Gateway, err = m.requestAddress(ctx, d, len(d.Subnets)-1, s.Gateway, map[string]string{optAddressType: gatewayAddress})
	return err
}

// requestAddress asks the plugin for an address of a subnet: the one wished, or
// any.
func (m *Manager) requestAddress(ctx context.Context, d *Definition, subnet int, wish netip.Addr, options map[string]string) (netip.Addr, error) {
	q := struct {
		PoolID, Address string
		Options         map[string]string
	}{PoolID: d.Leases[subnet].ID, Options: options}
	if wish.IsValid() {
		q.Address = wish.String()
	}
	var got struct {
		outcome
		Address string
	}
	if err := m.ipamCall(ctx, d.IPAMDriver, "RequestAddress", q, &got); err != nil {
		return netip.Addr{}, err
	}
	p, err := netip.ParsePrefix(got.Address)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("IPAM driver %s: address: %w", d.IPAMDriver, err)
	}
	if !d.Subnets[subnet].Prefix.Contains(p.Addr()) || wish.IsValid() && p.Addr() != wish {
		return netip.Addr{}, errors.Join(fmt.Errorf("IPAM driver %s: it gave the address %s", d.IPAMDriver, p),
			m.releaseAddress(context.WithoutCancel(ctx), d, subnet, p.Addr()))
	}
	return p.Addr(), nil
}

func (m *Manager) releaseAddress(ctx context.Context, d *Definition, subnet int, a netip.Addr) error {
	return m.ipamCall(ctx, d.IPAMDriver, "ReleaseAddress", map[string]string{"PoolID": d.Leases[subnet].ID, "Address": a.String()}, &outcome{})
}

// releasePools gives a network's subnets back to its IPAM plugin, if it has one,
// with the addresses of the gateways and those that others have.
func (m *Manager) releasePools(ctx context.Context, d *Definition) error {
	var errs []error
	for i := range d.Leases {
		if g := d.Subnets[i].Gateway; g.IsValid() {
			errs = append(errs, m.releaseAddress(ctx, d, i, g))
		}
		for _, a := range d.Subnets[i].Aux {
			errs = append(errs, m.releaseAddress(ctx, d, i, a))
		}
		errs = append(errs, m.ipamCall(ctx, d.IPAMDriver, "ReleasePool", map[string]string{"PoolID": d.Leases[i].ID}, &outcome{}))
	}
	d.Leases = nil
	return errors.Join(errs...)
}

// leaseFrom has the IPAM plugin choose an endpoint's address of one family, or
// allow the one wished. It is zero if the network has none of that family.
func (m *Manager) leaseFrom(ctx context.Context, s *segment, p *plan, six bool, wish netip.Addr) (netip.Prefix, error) {
	var last error
	if wish.IsValid() && s.pool(wish) == nil {
		return s.take(six, wish) // which says why not
	}
	for i, pool := range s.pools {
		prefix := pool.Subnet().Prefix
		if prefix.Addr().Is6() != six || wish.IsValid() && !prefix.Contains(wish) {
			continue
		}
		var options map[string]string
		if s.def.Leases[i].NeedsMAC {
			if p.wish.MAC == nil {
				p.wish.MAC = randomMAC()
			}
			options = map[string]string{optMAC: p.wish.MAC.String()}
		}
		a, err := m.requestAddress(ctx, &s.def, i, wish, options)
		if err == nil {
			if err = pool.Reserve(a); err == nil {
				return netip.PrefixFrom(a, prefix.Bits()), nil
			}
			// Somebody has it: it is not given back for them.
			err = forbidden("Address already in use")
		}
		last = err
	}
	return netip.Prefix{}, last
}

// leaseBack gives an endpoint's addresses back to the IPAM plugin.
func (m *Manager) leaseBack(s *segment, e *Endpoint) {
	ctx, cancel := context.WithTimeout(context.Background(), undoIn)
	defer cancel()
	for _, a := range e.assigned() {
		for i, subnet := range s.def.Subnets {
			if i >= len(s.def.Leases) || !subnet.Prefix.Contains(a.Addr()) {
				continue
			}
			if err := m.releaseAddress(ctx, &s.def, i, a.Addr()); err != nil {
				m.log.Error("give an address back", "network", s.def.Name, "address", a.Addr(), "error", err)
			}
		}
	}
}

// randomMAC is a locally administered address.
func randomMAC() net.HardwareAddr {
	mac := net.HardwareAddr{0x02, 0x42, 0, 0, 0, 0}
	rand.Read(mac[2:])
	return mac
}
