package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/network/ipam"
)

// DriverBridge is the driver of networks that live on one host, behind a bridge.
const DriverBridge = "bridge"

// networkName is what a network may be called. Docker allows what is not blank;
// this is what it allows for containers and volumes.
var networkName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// predefined are networks that exist without being made.
var predefined = map[string]bool{DefaultNetwork: true, "host": true, "none": true, "default": true}

// Create makes a network. On an error nothing is left.
func (m *Manager) Create(ctx context.Context, r *nettypes.CreateRequest) (_ nettypes.CreateResponse, err error) {
	d, err := m.define(ctx, r)
	if err != nil {
		return nettypes.CreateResponse{}, err
	}
	// One at a time: the choice of a subnet depends on all networks there are.
	m.making.Lock()
	defer m.making.Unlock()
	if err := m.nameFree(d.Name); err != nil {
		return nettypes.CreateResponse{}, err
	}
	if d.ConfigFrom != "" {
		if err := m.inherit(d, r); err != nil {
			return nettypes.CreateResponse{}, err
		}
	}
	resp := nettypes.CreateResponse{ID: d.ID}
	if !ownIPAM(d.IPAMDriver) && !d.ConfigOnly {
		if err := m.requestPools(ctx, d); err != nil {
			return nettypes.CreateResponse{}, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, m.releasePools(context.WithoutCancel(ctx), d))
			}
		}()
	}
	if !d.ConfigOnly {
		if resp.Warning, err = m.choose(d); err != nil {
			return nettypes.CreateResponse{}, err
		}
	}
	s, err := newSegment(*d)
	if err != nil {
		return nettypes.CreateResponse{}, err
	}
	if err := m.nameLink(s); err != nil {
		return nettypes.CreateResponse{}, err
	}
	if err := m.establish(ctx, s); err != nil {
		return nettypes.CreateResponse{}, fmt.Errorf("create network %s: %w", d.Name, err)
	}
	m.tell(events.ActionCreate, s)
	return resp, nil
}

// establish makes what the network consists of.
func (m *Manager) establish(ctx context.Context, s *segment) (err error) {
	var u undo
	defer func() {
		if err != nil {
			err = u.run(ctx, err)
		}
	}()
	if err := m.defs.save(&s.def); err != nil {
		return err
	}
	u.push(func(context.Context) error { return m.defs.remove(s.def.ID) })
	if err := fault.Point("network.create.saved"); err != nil {
		return err
	}
	if !s.def.ConfigOnly {
		if err := m.open(ctx, s); err != nil {
			return err
		}
		u.push(s.unmake)
	}
	if s.guarded() {
		u.push(func(context.Context) error { return m.guard.remove(s.def.ID) })
		if err := m.guard.add(s.def.ID, s.host()); err != nil {
			return err
		}
	}
	// With the lock: whoever replaces the whole table knows all networks.
	m.mu.Lock()
	defer m.mu.Unlock()
	m.admit(s)
	if s.bridge == nil {
		return nil
	}
	err = m.table.AddNetwork(s.rule)
	if err != nil {
		m.log.Warn("let a network into the firewall", "network", s.def.Name, "error", err)
		err = m.replace(m.published()) // somebody removed the table
	}
	if err != nil {
		m.expel(s)
	}
	return err
}

func (m *Manager) nameFree(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[name] != nil {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("network with name %s already exists", name))
	}
	return nil
}

// nameLink refuses a name for the bridge that another network's has.
func (m *Manager) nameLink(s *segment) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if other := m.links[s.o.name]; s.o.name != "" && other != nil && other.bridge != nil {
		return forbidden("network %s already has bridge name %s", other.def.Name, s.o.name)
	}
	return nil
}

// define reads a request and checks it alone.
func (m *Manager) define(ctx context.Context, r *nettypes.CreateRequest) (*Definition, error) {
	if predefined[r.Name] {
		return nil, forbidden("operation is not permitted on predefined %s network", r.Name)
	}
	if r.Name == "" {
		return nil, invalid("network name can't be blank")
	}
	if !networkName.MatchString(r.Name) {
		return nil, invalid("invalid network name %q: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed", r.Name)
	}
	d := &Definition{
		Version: definitionVersion, ID: newID(), Name: r.Name, Created: time.Now().UTC(), Driver: r.Driver, IPv4: true,
		Internal: r.Internal, Attachable: r.Attachable, ConfigOnly: r.ConfigOnly,
		Options: maps.Clone(r.Options), Labels: maps.Clone(r.Labels),
	}
	if d.Driver == "" || d.Driver == "default" {
		d.Driver = DriverBridge
	}
	if err := refuse(r, d); err != nil {
		return nil, err
	}
	if !own(d.Driver) {
		if _, err := m.plugin(ctx, d.Driver, driverCapability); err != nil {
			return nil, err
		}
	}
	if r.ConfigFrom != nil {
		d.ConfigFrom = r.ConfigFrom.Network
	}
	if d.ConfigFrom == "" {
		for k, v := range m.o.NetworkOptions[d.Driver] {
			if _, given := d.Options[k]; !given {
				if d.Options == nil {
					d.Options = map[string]string{}
				}
				d.Options[k] = v
			}
		}
	}
	if err := d.families(r); err != nil {
		return nil, err
	}
	if r.IPAM != nil && !ownIPAM(r.IPAM.Driver) {
		if _, err := m.plugin(ctx, r.IPAM.Driver, ipamCapability); err != nil {
			return nil, err
		}
	}
	if err := d.setIPAM(r.IPAM); err != nil || d.Driver != DriverCNI || d.ConfigOnly || d.ConfigFrom != "" {
		return d, err
	}
	return d, d.setCNI(&m.o.CNI)
}

// refuse names what cannot be had.
func refuse(r *nettypes.CreateRequest, d *Definition) error {
	switch {
	case r.Ingress, r.Scope == "swarm", d.Driver == "overlay":
		return forbidden(`This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
	case r.Scope != "" && r.Scope != "local":
		return invalid("invalid scope %q", r.Scope)
	case d.Driver == "host" || d.Driver == "null":
		return forbidden("only one instance of %q network is allowed", d.Driver)
	case r.ConfigOnly && r.ConfigFrom != nil && r.ConfigFrom.Network != "":
		return forbidden("a configuration network cannot depend on another configuration network")
	case d.Driver == DriverCNI && (r.ConfigOnly || r.ConfigFrom != nil && r.ConfigFrom.Network != ""):
		return invalid("driver cni has configurations of its own: use -o conf")
	case r.IPAM != nil && !ownIPAM(r.IPAM.Driver) && (d.Driver == DriverCNI || r.ConfigOnly):
		return invalid("IPAM driver %s: the network is not the engine's to have addresses for", r.IPAM.Driver)
	case r.IPAM != nil && ownIPAM(r.IPAM.Driver) && len(r.IPAM.Options) > 0:
		return invalid("IPAM option %q: the default IPAM driver has none", slices.Min(slices.Collect(maps.Keys(r.IPAM.Options))))
	}
	return nil
}

// families decides which address families the network has.
func (d *Definition) families(r *nettypes.CreateRequest) error {
	for _, f := range []struct {
		key   string
		asked *bool
		into  *bool
	}{{optIPv4, r.EnableIPv4, &d.IPv4}, {optIPv6, r.EnableIPv6, &d.IPv6}} {
		if f.asked != nil {
			*f.into = *f.asked
			delete(d.Options, f.key)
			continue
		}
		if v, ok := d.Options[f.key]; ok {
			on, err := strconv.ParseBool(v)
			if err != nil {
				return invalid("driver-opt %q is not a valid bool", f.key)
			}
			*f.into = on
		}
	}
	if !d.IPv4 && !d.IPv6 && !d.ConfigOnly {
		return invalid("IPv4 or IPv6 must be enabled")
	}
	return nil
}

// inherit takes the configuration from a network that is only that.
func (m *Manager) inherit(d *Definition, r *nettypes.CreateRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(d.ConfigFrom)
	if err != nil || !s.def.ConfigOnly {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("configuration network %q does not exist", d.ConfigFrom))
	}
	switch {
	case len(d.Subnets) > 0:
		return forbidden("user supplied configurations are not supported if the network depends on a configuration network")
	case len(r.Options) > 0:
		return forbidden("network driver options are not supported if the network depends on a configuration network")
	case d.Internal:
		return forbidden("network internal option is not supported if the network depends on a configuration network")
	}
	from := &s.def
	d.IPv4, d.IPv6, d.Internal = from.IPv4, from.IPv6, from.Internal
	d.Subnets, d.Options = append([]ipam.Subnet(nil), from.Subnets...), maps.Clone(from.Options)
	d.ConfigFrom = from.Name
	return nil
}

// setIPAM reads and checks the wanted subnets.
func (d *Definition) setIPAM(c *nettypes.IPAM) error {
	if c == nil {
		return nil
	}
	d.IPAMDriver, d.IPAMOpts = c.Driver, maps.Clone(c.Options)
	var errs []error
	for i := range c.Config {
		s := ipam.Subnet{
			Prefix: c.Config[i].Subnet, Range: c.Config[i].IPRange, Gateway: c.Config[i].Gateway,
			Aux: c.Config[i].AuxAddress, Asked: true,
		}
		if !s.Prefix.IsValid() {
			if s.Range.IsValid() || s.Gateway.IsValid() || len(s.Aux) > 0 {
				errs = append(errs, errors.New("invalid subnet : invalid CIDR block notation"))
			}
			continue
		}
		six := s.Prefix.Addr().Is6()
		if six && !d.IPv6 || !six && !d.IPv4 {
			continue // as Docker does: of a family that is switched off
		}
		errs = append(errs, checkSubnet(&s)...)
		d.Subnets = append(d.Subnets, s)
	}
	if err := errors.Join(errs...); err != nil {
		return invalid("invalid network config:\n%v", err)
	}
	if d.Driver == DriverBridge && (len(d.subnets(false)) > 1 || len(d.subnets(true)) > 1) {
		return forbidden("bridge driver doesn't support multiple subnets")
	}
	if !ownIPAM(d.IPAMDriver) {
		return nil // it knows which addresses are free
	}
	for i := range d.Subnets {
		if err := wantedTwice(&d.Subnets[i]); err != nil {
			return err
		}
	}
	return nil
}

// wantedTwice refuses a gateway and auxiliary addresses that are one another's,
// or nobody's to have. The texts are Docker's.
func wantedTwice(s *ipam.Subnet) error {
	taken := s.Edges()
	if s.Gateway.IsValid() {
		if slices.Contains(taken, s.Gateway) {
			return forbidden("failed to allocate gateway (%s): Address already in use", s.Gateway)
		}
		taken = append(taken, s.Gateway)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Aux)) {
		if slices.Contains(taken, s.Aux[name]) {
			return forbidden("failed to allocate secondary ip address (%s:%s): Address already in use", name, s.Aux[name])
		}
		taken = append(taken, s.Aux[name])
	}
	return nil
}

func checkSubnet(s *ipam.Subnet) (errs []error) {
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	family := 4
	if s.Prefix.Addr().Is6() {
		family = 6
	}
	if s.Prefix != s.Prefix.Masked() {
		add("invalid subnet %s: it should be %s", s.Prefix, s.Prefix.Masked())
		return errs
	}
	if r := s.Range; r.IsValid() {
		switch {
		case r.Addr().Is6() != s.Prefix.Addr().Is6():
			add("invalid ip-range %s: parent subnet is an IPv%d block", r, family)
		case r != r.Masked():
			add("invalid ip-range %s: it should be %s", r, r.Masked())
		case r.Bits() < s.Prefix.Bits():
			add("invalid ip-range %s: CIDR block is bigger than its parent subnet %s", r, s.Prefix)
		case !s.Prefix.Contains(r.Addr()):
			add("invalid ip-range %s: parent subnet %s doesn't contain ip-range", r, s.Prefix)
		}
	}
	address := func(what string, a netip.Addr) {
		switch {
		case a.Is6() != s.Prefix.Addr().Is6():
			add("invalid %s %s: parent subnet is an IPv%d block", what, a, family)
		case !s.Prefix.Contains(a):
			add("invalid %s %s: parent subnet %s doesn't contain this address", what, a, s.Prefix)
		}
	}
	if s.Gateway.IsValid() {
		address("gateway", s.Gateway)
	}
	for _, a := range s.Aux {
		address("auxiliary address", a)
	}
	return errs
}
