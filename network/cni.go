package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	types "github.com/containernetworking/cni/pkg/types/100"

	"github.com/berth-engine/berth/network/netns"
)

// DriverCNI is the driver of networks that are CNI plugins' (cni.dev).
const DriverCNI = "cni"

// optConf names a CNI configuration: an absolute path, or the name of a network
// in CNIOptions.Conf.
const optConf = "conf"

// CNIOptions are where CNI's files are.
type CNIOptions struct {
	Conf string   // directory of configurations; "": /etc/cni/net.d
	Bin  []string // directories of plugins; nil: /opt/cni/bin, /usr/lib/cni, /usr/libexec/cni
}

func (o *CNIOptions) conf() string {
	if o.Conf == "" {
		return "/etc/cni/net.d"
	}
	return o.Conf
}

func (o *CNIOptions) bin() []string {
	if o.Bin == nil {
		return []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"}
	}
	return o.Bin
}

// setCNI reads the configuration into the definition, which keeps it: what the
// file says later does not count for this network.
func (d *Definition) setCNI(o *CNIOptions) error {
	name := ""
	for _, key := range slices.Sorted(maps.Keys(d.Options)) {
		switch key {
		case optConf:
			name = d.Options[key]
		case optIPv4, optIPv6:
		default:
			return invalid("unknown option %q of driver %s", key, d.Driver)
		}
	}
	switch {
	case name == "":
		return invalid("driver cni needs -o conf=NAME, a network of %s, or an absolute path", o.conf())
	case len(d.Subnets) > 0:
		return invalid("driver cni: subnets are the CNI configuration's to say")
	case d.Internal:
		return invalid("driver cni: whether there is a way out is the CNI configuration's to say")
	}
	list, err := loadCNI(o, name)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("CNI configuration %q: %v", name, err))
	}
	d.CNI = list.Bytes
	return nil
}

func loadCNI(o *CNIOptions, name string) (*libcni.NetworkConfigList, error) {
	if !filepath.IsAbs(name) {
		return libcni.LoadConfList(o.conf(), name)
	}
	if strings.HasSuffix(name, ".conflist") {
		return libcni.ConfListFromFile(name)
	}
	one, err := libcni.ConfFromFile(name) //nolint:staticcheck // an old form, which hosts have
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(one) //nolint:staticcheck // see above
}

// cniFabric is a network of CNI plugins. They choose addresses, and set
// interfaces up.
type cniFabric struct {
	cni  *libcni.CNIConfig
	all  *libcni.NetworkConfigList
	list *libcni.NetworkConfigList // without those of ports
	// ports lead published ports to an endpoint, for as long as it is the
	// container's way out; nil: no plugin does. What they answer is kept apart.
	ports    *libcni.NetworkConfigList
	portsCNI *libcni.CNIConfig
}

func (m *Manager) openCNI(s *segment) error {
	list, err := libcni.ConfListFromBytes(s.def.CNI)
	if err != nil {
		return err
	}
	cni := func(dir string) *libcni.CNIConfig {
		return libcni.NewCNIConfigWithCacheDir(m.o.CNI.bin(), filepath.Join(m.o.DataRoot, "network", dir), nil)
	}
	f := &cniFabric{cni: cni("cni"), portsCNI: cni("cni-ports"), all: list}
	f.list, f.ports = apart(list)
	s.fabric = f
	return nil
}

// check asks whether the plugins are there and know the configuration.
func (f *cniFabric) check(ctx context.Context) error {
	if _, err := f.cni.ValidateNetworkList(ctx, f.all); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("CNI network %s: %v", f.list.Name, err))
	}
	return nil
}

func (f *cniFabric) runtime(n *netns.Namespace, e *Endpoint) *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{ContainerID: e.EndpointID, IfName: e.Interface}
	if n != nil {
		rt.NetNS = n.Path()
	}
	return rt
}

func (f *cniFabric) join(ctx context.Context, n *netns.Namespace, p *plan) (i netns.Interface, err error) {
	asked, err := f.wishes(&p.wish)
	if err != nil {
		return i, err
	}
	p.e.Interface, p.ready = p.name, true
	defer func() {
		if err != nil { // plugins may have made some of it
			err = errors.Join(err, f.leave(context.WithoutCancel(ctx), n, &p.e))
		}
	}()
	rt := f.runtime(n, &p.e)
	rt.CapabilityArgs = asked
	r, err := f.cni.AddNetworkList(ctx, f.list, rt)
	if err != nil {
		return i, fmt.Errorf("CNI network %s: %w", f.list.Name, err)
	}
	result, err := types.NewResultFromResult(r)
	if err != nil {
		return i, fmt.Errorf("CNI network %s: %w", f.list.Name, err)
	}
	if i, err = n.Interface(p.name); err != nil {
		return i, fmt.Errorf("CNI network %s: %w", f.list.Name, err)
	}
	p.mac, p.e.MAC, p.e.Mapped = nil, i.MAC.String(), f.ports != nil
	p.e.take(result)
	return i, p.granted()
}

// capable tells whether a plugin of the list says that it heeds a kind of
// runtime argument (CNI conventions, "capabilities").
func (f *cniFabric) capable(name string) bool {
	return slices.ContainsFunc(f.list.Plugins, func(p *libcni.PluginConfig) bool { return p.Network.Capabilities[name] })
}

// choosesAddresses tells whether a wish for an address goes to CNI plugins.
func (s *segment) choosesAddresses() bool {
	f, ok := s.fabric.(*cniFabric)
	return ok && f.capable("ips")
}

// wishes are what the plugins are asked for, of which they say that they heed it.
// Anything else is refused.
func (f *cniFabric) wishes(w *EndpointSpec) (map[string]any, error) {
	asked := map[string]any{}
	var ips []string
	for _, a := range []netip.Addr{w.IPv4, w.IPv6} {
		if a.IsValid() {
			ips = append(ips, a.String())
		}
	}
	if len(ips) > 0 { // claim has asked whether that can be
		asked["ips"] = ips
	}
	switch {
	case w.MAC != nil && !f.capable("mac"):
		return nil, invalid("driver cni: no plugin of the network %s has the capability mac: hardware addresses are the plugins' to choose", f.list.Name)
	case w.MAC != nil:
		asked["mac"] = w.MAC.String()
	}
	if len(w.LinkLocal) > 0 || w.DriverOpts[optSysctls] != "" {
		return nil, invalid("driver cni: link-local addresses, and settings of interfaces, are the CNI plugins' to choose")
	}
	return asked, nil
}

// granted tells whether the plugins did as they were asked.
func (p *plan) granted() error {
	for _, x := range [][2]netip.Addr{{p.wish.IPv4, p.e.IPv4.Addr()}, {p.wish.IPv6, p.e.IPv6.Addr()}} {
		if x[0].IsValid() && x[0].Unmap() != x[1] {
			return fmt.Errorf("CNI network %s: the plugins gave the address %s instead of %s", p.s.def.Name, x[1], x[0])
		}
	}
	if p.wish.MAC != nil && p.wish.MAC.String() != p.e.MAC {
		return fmt.Errorf("CNI network %s: the plugins gave the hardware address %s instead of %s", p.s.def.Name, p.e.MAC, p.wish.MAC)
	}
	return nil
}

// take has the addresses and ways out that plugins chose.
func (e *Endpoint) take(r *types.Result) {
	for _, x := range r.IPs {
		a, ok := netip.AddrFromSlice(x.Address.IP)
		bits, _ := x.Address.Mask.Size()
		if !ok {
			continue
		}
		into := &e.IPv4
		if a = a.Unmap(); a.Is6() {
			into = &e.IPv6
		}
		if !into.IsValid() {
			*into = netip.PrefixFrom(a, bits)
		}
	}
	for _, x := range r.Routes {
		if bits, _ := x.Dst.Mask.Size(); bits != 0 {
			continue
		}
		six := x.Dst.IP.To4() == nil
		into := &e.Gateway
		if six {
			into = &e.Gateway6
		}
		if a, ok := netip.AddrFromSlice(via(r, x.GW, six)); ok {
			*into = a.Unmap()
		} else {
			e.OnLink = true
		}
	}
}

// via is a route's gateway, or else that of the addresses (CNI spec, 5).
func via(r *types.Result, gw net.IP, six bool) net.IP {
	if gw != nil {
		return gw
	}
	for _, x := range r.IPs {
		if x.Gateway != nil && (x.Gateway.To4() == nil) == six {
			return x.Gateway
		}
	}
	return nil
}

// leave tells the plugins; it is their part to bear that the namespace has gone.
func (f *cniFabric) leave(ctx context.Context, n *netns.Namespace, e *Endpoint) error {
	return errors.Join(f.revoke(ctx, e), f.undo(ctx, f.cni, f.list, f.runtime(n, e)))
}

// undo calls plugins with what they were asked for at first (CNI spec, 3: "the
// runtime must use the same").
func (f *cniFabric) undo(ctx context.Context, cni *libcni.CNIConfig, list *libcni.NetworkConfigList, rt *libcni.RuntimeConf) error {
	if _, kept, err := cni.GetNetworkListCachedConfig(list, rt); err == nil && kept != nil {
		rt = kept
	}
	if err := cni.DelNetworkList(ctx, list, rt); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("CNI network %s: %w", list.Name, err)
	}
	return nil
}

// remove and close have nothing to do: what plugins made for the network as a
// whole is theirs.
func (f *cniFabric) remove(context.Context) error { return nil }
func (f *cniFabric) close() error                 { return nil }
