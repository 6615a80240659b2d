package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/berth-engine/berth/network/ipam"
	"github.com/berth-engine/berth/network/netns"
	"github.com/berth-engine/berth/network/nft"
)

// driverCapability is what a plugin implements that is a network driver.
const driverCapability = "NetworkDriver"

// remote is a network of a plugin: Docker's protocol of network drivers
// (moby, libnetwork/docs/remote.md). The engine hands out addresses and sets
// interfaces up; the plugin makes them.
type remote struct {
	m *Manager
	s *segment
}

func (r *remote) call(ctx context.Context, method string, args any, ret failing) error {
	return r.m.callPlugin(ctx, r.s.def.Driver, driverCapability, method, args, ret)
}

// openRemote has the plugin make a network.
func (m *Manager) openRemote(ctx context.Context, s *segment) error {
	r := &remote{m, s}
	var can struct {
		outcome
		Scope string
	}
	if err := r.call(ctx, "GetCapabilities", nil, &can); err != nil {
		return err
	}
	switch can.Scope {
	case "local":
	case "global":
		return forbidden("network driver %s is for a swarm: this node is not part of one", s.def.Driver)
	default:
		return fmt.Errorf("invalid capability: expecting 'local' or 'global', got %s", can.Scope) // Docker's words
	}
	options := map[string]any{optIPv4: s.def.IPv4, optIPv6: s.def.IPv6, "com.docker.network.generic": orEmpty(s.def.Options)}
	if s.def.Internal {
		options["com.docker.network.internal"] = true
	}
	err := r.call(ctx, "CreateNetwork", map[string]any{
		"NetworkID": s.def.ID, "Options": options, "IPv4Data": areas(s.def.subnets(false)), "IPv6Data": areas(s.def.subnets(true)),
	}, &outcome{})
	if err == nil {
		s.fabric = r
	}
	return err
}

// area is a subnet as the protocol has it; addresses are with their length.
type area struct {
	AddressSpace string
	Pool         string
	Gateway      string
	AuxAddresses map[string]string
}

func areas(list []ipam.Subnet) []area {
	out := []area{}
	for _, x := range list {
		a := area{AddressSpace: "LocalDefault", Pool: x.Prefix.String(), AuxAddresses: map[string]string{}}
		if x.Gateway.IsValid() {
			a.Gateway = netip.PrefixFrom(x.Gateway, x.Prefix.Bits()).String()
		}
		for name, aux := range x.Aux {
			a.AuxAddresses[name] = netip.PrefixFrom(aux, x.Prefix.Bits()).String()
		}
		out = append(out, a)
	}
	return out
}

// place names an endpoint.
type place struct{ NetworkID, EndpointID string }

func (r *remote) at(e *Endpoint) place { return place{r.s.def.ID, e.EndpointID} }

// face is an interface as the protocol has it.
type face struct{ Address, AddressIPv6, MacAddress string }

func (r *remote) join(ctx context.Context, n *netns.Namespace, p *plan) (i netns.Interface, err error) {
	var u undo
	defer func() {
		if err != nil {
			err = u.run(ctx, err)
		}
	}()
	if err := r.endpoint(ctx, p); err != nil {
		return i, err
	}
	u.push(func(ctx context.Context) error { return r.call(ctx, "DeleteEndpoint", r.at(&p.e), &outcome{}) })
	var got joined
	err = r.call(ctx, "Join", struct {
		place
		SandboxKey string
		Options    map[string]any
	}{r.at(&p.e), n.Path(), map[string]any{}}, &got)
	if err != nil {
		return i, err
	}
	u.push(func(ctx context.Context) error { return r.call(ctx, "Leave", r.at(&p.e), &outcome{}) })
	if err := got.plan(p); err != nil {
		return i, err
	}
	if i, err = n.MoveIn(r.m.conn, got.InterfaceName.SrcName); err != nil {
		return i, fmt.Errorf("interface %q of network driver %s: %w", got.InterfaceName.SrcName, r.s.def.Driver, err)
	}
	p.e.Source = i.Name
	if prefix := got.InterfaceName.DstPrefix; prefix != "" && p.wish.DriverOpts[optInterface] == "" {
		if err := checkLink("interface", prefix+"0"); err != nil {
			return i, err
		}
		if p.name, err = n.FreeName(prefix); err != nil {
			return i, err
		}
	}
	if p.mac == nil {
		p.e.MAC = i.MAC.String()
	}
	return i, r.told(ctx, p)
}

// optMAC is what a driver may say about an endpoint (EndpointOperInfo).
const optMAC = "com.docker.network.endpoint.macaddress"

// told asks the plugin what it has to say about an endpoint that has joined. A
// plugin need not know the method.
func (r *remote) told(ctx context.Context, p *plan) error {
	var got struct {
		outcome
		Value map[string]any
	}
	err := r.call(ctx, "EndpointOperInfo", r.at(&p.e), &got)
	if unknown(err) {
		return nil
	}
	if text, ok := got.Value[optMAC].(string); ok && err == nil && p.mac == nil {
		mac, bad := net.ParseMAC(text)
		if bad != nil {
			return fmt.Errorf("network driver %s: %w", r.s.def.Driver, bad)
		}
		p.mac, p.e.MAC = mac, mac.String()
	}
	return err
}

// binding is a published port as the protocol has it (portmap of
// libnetwork/types: Proto is the number of the protocol).
type binding struct {
	Proto       uint8
	IP          string
	Port        uint16
	HostIP      string
	HostPort    uint16
	HostPortEnd uint16
}

// Options of ProgramExternalConnectivity, by Docker's names.
const (
	optPortMap = "com.docker.network.portmap"
	optExposed = "com.docker.network.endpoint.exposedports"
)

// program tells the plugin of the ports that were asked for. A plugin need not
// know that, nor revoke.
func (r *remote) program(ctx context.Context, _ *netns.Namespace, e *Endpoint, asked []PortSpec, _ []PortBinding) error {
	type exposed struct {
		Proto uint8
		Port  uint16
	}
	list, open := []binding{}, []exposed{}
	for _, p := range asked {
		proto, err := nft.Protocol(p.Proto)
		if err != nil {
			return err
		}
		b := binding{Proto: proto, Port: p.ContainerPort, HostPort: p.HostPort, HostPortEnd: max(p.HostPort, p.HostPortEnd)}
		if p.HostIP.IsValid() {
			b.HostIP = p.HostIP.String()
		}
		list, open = append(list, b), append(open, exposed{proto, p.ContainerPort})
	}
	err := r.call(ctx, "ProgramExternalConnectivity", struct {
		place
		Options map[string]any
	}{r.at(e), map[string]any{optPortMap: list, optExposed: open}}, &outcome{})
	if unknown(err) {
		return nil
	}
	e.External = err == nil
	return err
}

func (r *remote) revoke(ctx context.Context, e *Endpoint) error {
	if !e.External {
		return nil
	}
	err := r.call(ctx, "RevokeExternalConnectivity", r.at(e), &outcome{})
	if unknown(err) {
		return nil
	}
	return err
}

// endpoint has the plugin make an endpoint. What the engine chose is not the
// plugin's to change; what it left open is.
func (r *remote) endpoint(ctx context.Context, p *plan) error {
	want := face{}
	if p.e.IPv4.IsValid() {
		want.Address = p.e.IPv4.String()
	}
	if p.e.IPv6.IsValid() {
		want.AddressIPv6 = p.e.IPv6.String()
	}
	if p.mac = p.wish.MAC; p.mac != nil {
		want.MacAddress = p.mac.String()
	}
	options := map[string]any{}
	for k, v := range p.wish.DriverOpts {
		options[k] = v
	}
	var got struct {
		outcome
		Interface *face
	}
	err := r.call(ctx, "CreateEndpoint", struct {
		place
		Interface face
		Options   map[string]any
	}{r.at(&p.e), want, options}, &got)
	if err != nil || got.Interface == nil {
		return err
	}
	have := *got.Interface
	for _, x := range [][2]string{{want.Address, have.Address}, {want.AddressIPv6, have.AddressIPv6}, {want.MacAddress, have.MacAddress}} {
		if x[0] != "" && x[1] != "" && !strings.EqualFold(x[0], x[1]) {
			err = errors.Join(err, fmt.Errorf("driver modified interface: %s is not %s", x[1], x[0]))
		}
	}
	if err == nil && have.MacAddress != "" {
		p.mac, err = net.ParseMAC(have.MacAddress)
		p.e.MAC = p.mac.String()
	}
	if err != nil {
		return errors.Join(err, r.call(context.WithoutCancel(ctx), "DeleteEndpoint", r.at(&p.e), &outcome{}))
	}
	return nil
}

// joined is the answer to Join. Its DisableGatewayService is about the bridge
// docker_gwbridge, which there is not.
type joined struct {
	outcome
	InterfaceName        struct{ SrcName, DstPrefix string }
	Gateway, GatewayIPv6 string
	StaticRoutes         []staticRoute
}

type staticRoute struct {
	Destination string
	RouteType   int // 0: by NextHop; 1: connected
	NextHop     string
}

// plan takes over what the plugin says of ways out.
func (j *joined) plan(p *plan) error {
	if j.InterfaceName.SrcName == "" {
		return errors.New("the network driver made no interface")
	}
	p.e.Gateway, p.e.Gateway6 = netip.Addr{}, netip.Addr{}
	for _, x := range []struct {
		text string
		into *netip.Addr
	}{{j.Gateway, &p.e.Gateway}, {j.GatewayIPv6, &p.e.Gateway6}} {
		if x.text == "" {
			continue
		}
		var err error
		if *x.into, err = netip.ParseAddr(x.text); err != nil {
			return fmt.Errorf("unable to parse Gateway %q", x.text) // Docker's words
		}
	}
	for _, x := range j.StaticRoutes {
		to, err := netip.ParsePrefix(x.Destination)
		if err != nil {
			return fmt.Errorf("static route of the network driver: %w", err)
		}
		route := netns.Route{To: to.Masked()}
		if x.RouteType == 0 {
			if route.Via, err = netip.ParseAddr(x.NextHop); err != nil {
				return fmt.Errorf("failed to parse nexthop IP %s", x.NextHop) // Docker's words
			}
		}
		switch {
		case to.Bits() > 0:
			p.routes = append(p.routes, route)
		case !route.Via.IsValid():
			p.e.OnLink = true
		case route.Via.Is6():
			p.e.Gateway6 = route.Via
		default:
			p.e.Gateway = route.Via
		}
	}
	return nil
}

// leave gives the interface back to the plugin, where it is still there: the
// link may be no virtual one.
func (r *remote) leave(ctx context.Context, n *netns.Namespace, e *Endpoint) error {
	err := errors.Join(r.revoke(ctx, e), r.call(ctx, "Leave", r.at(e), &outcome{}))
	if n != nil && e.Source != "" {
		err = errors.Join(err, n.MoveOut(e.Interface, e.Source))
	}
	return errors.Join(err, r.call(ctx, "DeleteEndpoint", r.at(e), &outcome{}))
}

func (r *remote) remove(ctx context.Context) error {
	return r.call(ctx, "DeleteNetwork", map[string]string{"NetworkID": r.s.def.ID}, &outcome{})
}

// close has nothing to do: the network is the plugin's, and lasts.
func (r *remote) close() error { return nil }
