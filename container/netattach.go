package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/network"
)

// netPlace is where a container's network is.
type netPlace struct {
	ns     *os.File        // nil: the host's
	result *network.Result // nil: not the engine's to manage
	owner  string          // ID of the container whose /etc files hold
}

// connect gives the container its network, or opens the one it shares.
func (s *Service) connect(ctx context.Context, e *entry, r *Record, u *undo) (netPlace, error) {
	p := netPlace{owner: r.ID}
	mode := r.HostConfig.NetworkMode
	switch {
	case e.network != nil: // that of the run before, which has just ended
		ns, res, err := s.reconnect(ctx, e, r)
		if err != nil {
			return p, err
		}
		p.ns, p.result = ns, res
	case mode.IsHost():
		return p, nil
	case mode.IsContainer():
		f, owner, err := s.openNamespace(mode.ConnectedContainer(), "net", r.Name)
		if err != nil {
			return p, err
		}
		p.ns, p.owner = f, owner
	default:
		d, err := s.desired(r)
		if err != nil {
			return p, err
		}
		f, res, err := s.networks.Attach(ctx, d)
		if err != nil {
			return p, networkError(err)
		}
		u.push(func(ctx context.Context) { s.report(r.ID, s.networks.Detach(ctx, r.ID)) })
		p.ns, p.result = f, &res
	}
	u.push(func(context.Context) { _ = p.ns.Close() })
	return p, fault.Point("container.start.network")
}

// reconnect gives the container the namespace that it has had, and whose place
// on the network it still has, with the ports that it should have now.
func (s *Service) reconnect(ctx context.Context, e *entry, r *Record) (*os.File, *network.Result, error) {
	specs, err := portSpecs(r.Config, r.HostConfig)
	if err != nil {
		return nil, nil, err
	}
	ns, err := os.Open(descriptorPath(e.network)) // one of its own for the start to close
	if err != nil {
		return nil, nil, err
	}
	res, err := s.networks.Republish(ctx, r.ID, ns, specs)
	if errdefs.IsFailedPrecondition(err) && r.Network != nil {
		return ns, r.Network, nil // nothing leads out: there is nothing to publish, as at any start
	}
	if err != nil {
		return nil, nil, errors.Join(networkError(err), ns.Close())
	}
	return ns, &res, nil
}

// nameAsOwner gives a container in another's network that one's host name, as
// Docker does: /etc/hosts, which they share, leads from it to their address.
func (s *Service) nameAsOwner(r *Record, owner string) {
	other := s.index.get(owner)
	if owner == r.ID || other == nil {
		return
	}
	c, o := *r.Config, other.record().Config
	c.Hostname, c.Domainname = o.Hostname, o.Domainname
	r.Config = &c
}

// networkError words a failed attachment as Docker does.
func networkError(err error) error {
	return fmt.Errorf("failed to set up container networking: %w", err)
}

// desired is what the container asks of the network.
func (s *Service) desired(r *Record) (network.Desired, error) {
	d := network.Desired{ID: r.ID, Name: r.Name, Mode: network.Bridge, Links: links(r), Service: serviceOf(r)}
	for _, text := range s.dnsOf(r).servers {
		if a, err := netip.ParseAddr(text); err == nil { // checked before
			d.Servers = append(d.Servers, a)
		}
	}
	if r.Config.NetworkDisabled {
		d.Mode = network.None
		return d, nil
	}
	for _, name := range s.networksOf(r) {
		if name == nettypes.NetworkNone {
			continue
		}
		at := s.place(r, name, r.Endpoints[name])
		if r.Edit != nil && r.Network != nil { // run anew after the engine was killed
			for i := range r.Network.Endpoints {
				if e := &r.Network.Endpoints[i]; e.Network == name {
					at.IPv4, at.IPv6 = e.IPv4.Addr(), e.IPv6.Addr()
				}
			}
		}
		d.Networks = append(d.Networks, at)
	}
	if len(d.Networks) == 0 { // none, or it was disconnected from all
		d.Mode = network.None
		return d, nil
	}
	var err error
	d.Ports, err = portSpecs(r.Config, r.HostConfig)
	return d, err
}

// networksOf lists the networks that the container is to be on: that of its
// network mode first, then by name.
func (s *Service) networksOf(r *Record) []string {
	first := s.networkName(string(r.HostConfig.NetworkMode))
	if r.Endpoints == nil {
		return []string{first}
	}
	names := slices.Sorted(maps.Keys(r.Endpoints))
	if i := slices.Index(names, first); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, first)
	}
	return names
}

// networkName is the name of a network that may be given by its id. One that
// does not exist is called as it is.
func (s *Service) networkName(ref string) string {
	if isBridge(ref) {
		return network.DefaultNetwork
	}
	if name, _, ok := s.networks.Identify(ref); ok {
		return name
	}
	return ref
}

// place is what the container wants on one network.
func (s *Service) place(r *Record, name string, asked *nettypes.EndpointSettings) network.EndpointSpec {
	at := network.EndpointSpec{Name: name}
	if asked == nil {
		asked = &nettypes.EndpointSettings{}
	}
	if len(asked.MacAddress) > 0 {
		at.MAC = net.HardwareAddr(asked.MacAddress)
	}
	if c := asked.IPAMConfig; c != nil {
		at.IPv4, at.IPv6, at.LinkLocal = c.IPv4Address, c.IPv6Address, c.LinkLocalIPs
	}
	at.DriverOpts, at.GwPriority = asked.DriverOpts, asked.GwPriority
	if !isBridge(name) {
		at.Names = dnsNames(r, asked.Aliases)
	}
	return at
}

// dnsNames are what a container is called on a network that somebody made.
func dnsNames(r *Record, aliases []string) []string {
	var out []string
	for _, n := range slices.Concat([]string{r.Name}, aliases, []string{short(r.ID), r.Config.Hostname}) {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// links are the other names for containers that this one knows on its networks.
func links(r *Record) map[string][]string {
	var out map[string][]string
	all := []*nettypes.EndpointSettings{}
	if r.HostConfig.NetworkMode.IsUserDefined() {
		all = append(all, &nettypes.EndpointSettings{Links: r.HostConfig.Links})
	}
	for _, asked := range r.Endpoints {
		all = append(all, asked)
	}
	for _, asked := range all {
		if asked == nil {
			continue
		}
		for _, l := range asked.Links {
			name, alias, ok := strings.Cut(l, ":")
			if !ok {
				alias = name
			}
			if out == nil {
				out = map[string][]string{}
			}
			if !slices.Contains(out[alias], name) { // Docker's command says a link twice
				out[alias] = append(out[alias], name)
			}
		}
	}
	return out
}

// openNamespace opens a namespace of another container, returns that one's ID
// too, and makes sure that the namespace is that container's: its process 1 may
// have ended, and its number may have been given to another process, while the
// file was opened.
func (s *Service) openNamespace(ref, kind, joiner string) (*os.File, string, error) {
	word := strings.ToUpper(kind)
	if kind == "net" {
		word = "network"
	}
	other, err := s.find(ref)
	if err != nil {
		return nil, "", fmt.Errorf("joining %s namespace of container: %w", kind, err)
	}
	if other.record().Name == joiner {
		return nil, "", invalid("cannot join own %s namespace", word)
	}
	box := other.streams.current()
	if box == nil || !other.record().State.live() {
		return nil, "", conflict("cannot join %s namespace of a non running container: container %s is %s",
			word, strings.TrimPrefix(other.record().Name, "/"), other.record().State.docker())
	}
	f, err := os.Open("/proc/" + strconv.Itoa(box.Pid()) + "/ns/" + kind)
	if err == nil && !box.Running() {
		_ = f.Close()
		err = errors.New("it has just ended")
	}
	if err != nil {
		return nil, "", conflict("cannot join %s namespace of container %s for %s: %w", word, short(other.id), joiner, err)
	}
	return f, other.id, nil
}
