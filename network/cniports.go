package network

import (
	"context"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/libcni"

	"github.com/berth-engine/berth/network/netns"
)

// portMappings is what plugins say that lead published ports (CNI conventions).
const portMappings = "portMappings"

// portMapping is a published port as such plugins are told.
type portMapping struct {
	HostPort      uint16 `json:"hostPort"`
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

// apart takes the plugins that lead published ports out of a list. They are
// called when the interface is there: which network is a container's way out is
// known only then, and changes. The first plugin makes the interface, and stays.
func apart(list *libcni.NetworkConfigList) (rest, ports *libcni.NetworkConfigList) {
	one, other := *list, *list
	one.Plugins, other.Plugins = nil, nil
	for i, p := range list.Plugins {
		if i > 0 && p.Network.Capabilities[portMappings] {
			other.Plugins = append(other.Plugins, p)
		} else {
			one.Plugins = append(one.Plugins, p)
		}
	}
	if len(other.Plugins) == 0 {
		return &one, nil
	}
	return &one, &other
}

func (f *cniFabric) program(ctx context.Context, n *netns.Namespace, e *Endpoint, _ []PortSpec, held []PortBinding) error {
	if f.ports == nil || len(held) == 0 {
		return nil
	}
	var maps []portMapping
	for _, p := range held {
		maps = append(maps, portMapping{p.HostPort, p.ContainerPort, p.Proto, p.HostIP.String()})
	}
	rt := f.runtime(n, e)
	list, err := f.after(rt)
	if err != nil {
		return err
	}
	rt.CapabilityArgs = map[string]any{portMappings: maps}
	if _, err = f.portsCNI.AddNetworkList(ctx, list, rt); err != nil {
		err = fmt.Errorf("CNI network %s: publish ports: %w", f.list.Name, err)
		return errors.Join(err, f.undo(context.WithoutCancel(ctx), f.portsCNI, f.ports, rt)) // some may be led
	}
	e.External = true
	return nil
}

// after is the list of the plugins of ports, which go on where the others ended.
func (f *cniFabric) after(rt *libcni.RuntimeConf) (*libcni.NetworkConfigList, error) {
	result, err := f.cni.GetNetworkListCachedResult(f.list, rt)
	if err == nil && result == nil {
		err = errors.New("what the plugins answered was not kept")
	}
	if err != nil {
		return nil, fmt.Errorf("CNI network %s: %w", f.list.Name, err)
	}
	list := *f.ports
	list.Plugins = append([]*libcni.PluginConfig(nil), list.Plugins...)
	list.Plugins[0], err = libcni.InjectConf(list.Plugins[0], map[string]any{"prevResult": result})
	return &list, err
}

func (f *cniFabric) revoke(ctx context.Context, e *Endpoint) error {
	if f.ports == nil || !e.External {
		return nil
	}
	return f.undo(ctx, f.portsCNI, f.ports, f.runtime(nil, e))
}

// leadable tells why ports cannot be published of a container whose way out is a
// network of CNI plugins.
func (m *Manager) leadable(r *Result, ports []PortSpec) error {
	if len(ports) == 0 {
		return nil
	}
	s, e := m.outlet(r)
	if s == nil {
		return m.unled(r)
	}
	if e.Mapped && m.policy == PolicyHost {
		return invalid("driver cni: ports cannot be published on the network %s with publish-policy host: its plugins would lead them round the host's firewall", e.Network)
	}
	return nil
}

// unled names the network of CNI plugins that leads no ports to a container; nil:
// it is on none, and there is nothing to publish, as with Docker.
func (m *Manager) unled(r *Result) error {
	exits := r.exits()
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		f, ok := m.fabricOf(e).(*cniFabric)
		switch {
		case !ok:
		case len(exits) == 0:
			return invalid("driver cni: ports cannot be published: the plugins of the network %s gave the container no default route, so nothing leads out of it", e.Network)
		case !r.exit(e):
		case f.list.Plugins[0].Network.Capabilities[portMappings]:
			return invalid("driver cni: ports cannot be published on the network %s: the plugin that has the capability portMappings is its first, which makes the interface; chain one such as portmap behind it", e.Network)
		default:
			return invalid("driver cni: ports cannot be published on the network %s: no plugin of its configuration has the capability portMappings; add one such as portmap with \"capabilities\": {\"portMappings\": true}, and make the network anew", e.Network)
		}
	}
	return nil
}
