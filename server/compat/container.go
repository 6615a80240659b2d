package compat

import (
	"net/netip"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
)

// inspect is a container's description before API 1.52.
type inspect struct {
	container.InspectResponse
	NetworkSettings *networkSettings
	Config          *containerConfig
}

// containerConfig never omitted OnBuild, and named a MAC address.
type containerConfig struct {
	*container.Config
	OnBuild    []string
	MacAddress string `json:",omitempty"`
}

// networkSettings repeated the default bridge's endpoint at the top.
type networkSettings struct {
	*container.NetworkSettings
	Bridge                 string
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	SecondaryIPAddresses   []struct{}
	SecondaryIPv6Addresses []struct{}
	EndpointID             string
	Gateway                string
	GlobalIPv6Address      string
	GlobalIPv6PrefixLen    int
	IPAddress              string
	IPPrefixLen            int
	IPv6Gateway            string
	MacAddress             string
}

// InspectContainer lowers the answer of GET /containers/{id}/json.
func InspectContainer(v Version, c container.InspectResponse) any {
	if v.before(48) {
		c.ImageManifestDescriptor = nil
	}
	if v.Has(52) {
		return c
	}
	ns := c.NetworkSettings
	if ns == nil {
		ns = &container.NetworkSettings{}
	}
	if v.before(45) {
		ns = withShortID(ns, c)
	}
	if c.GraphDriver == nil && c.Storage != nil && c.Storage.RootFS != nil && c.Storage.RootFS.Snapshot != nil {
		c.GraphDriver = &storage.DriverData{Name: c.Storage.RootFS.Snapshot.Name}
		c.Storage = nil
	}
	old := inspect{InspectResponse: c, NetworkSettings: &networkSettings{NetworkSettings: ns}}
	if ep := ns.Networks[network.NetworkBridge]; ep != nil {
		n := old.NetworkSettings
		n.EndpointID = ep.EndpointID
		n.Gateway, n.IPv6Gateway = text(ep.Gateway), text(ep.IPv6Gateway)
		n.IPAddress, n.IPPrefixLen = text(ep.IPAddress), ep.IPPrefixLen
		n.GlobalIPv6Address, n.GlobalIPv6PrefixLen = text(ep.GlobalIPv6Address), ep.GlobalIPv6PrefixLen
		n.MacAddress = ep.MacAddress.String()
	}
	if c.Config != nil {
		old.Config = &containerConfig{Config: c.Config, OnBuild: c.Config.OnBuild}
	}
	return old
}

// withShortID adds what Aliases held before API 1.45: the short id and the host
// name.
func withShortID(ns *container.NetworkSettings, c container.InspectResponse) *container.NetworkSettings {
	copied := *ns
	copied.Networks = make(map[string]*network.EndpointSettings, len(ns.Networks))
	for name, ep := range ns.Networks {
		if ep != nil && container.NetworkMode(name).IsUserDefined() {
			ep = ep.Copy()
			own := []string{c.ID[:min(12, len(c.ID))]}
			if c.Config != nil {
				own = append(own, c.Config.Hostname)
			}
			for _, alias := range own {
				if !slices.Contains(ep.Aliases, alias) {
					ep.Aliases = append(ep.Aliases, alias)
				}
			}
		}
		copied.Networks[name] = ep
	}
	return &copied
}

// ListContainers lowers the answer of GET /containers/json; never null.
func ListContainers(v Version, list []container.Summary) []container.Summary {
	out := make([]container.Summary, 0, len(list))
	for _, c := range list {
		if v.before(46) {
			c.HostConfig.Annotations = nil
		}
		if v.before(48) {
			c.ImageManifestDescriptor = nil
		}
		if v.before(52) {
			c.Health = nil
		}
		out = append(out, c)
	}
	return out
}

// text is an address as it was written when fields were strings: nothing when
// it is not set.
func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
