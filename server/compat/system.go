package compat

import (
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
)

// info is GET /info before API 1.50.
type info struct {
	system.Info
	BridgeNfIptables  bool
	BridgeNfIP6tables bool `json:"BridgeNfIp6tables"`
	ContainerdCommit  commit
	RuncCommit        commit
	InitCommit        commit
	RegistryConfig    *registryConfig
}

type commit struct {
	ID       string
	Expected string `json:",omitempty"` // before 1.49
}

type registryConfig struct {
	*registry.ServiceConfig
	AllowNondistributableArtifactsCIDRs     []string `json:",omitzero"` // before 1.49
	AllowNondistributableArtifactsHostnames []string `json:",omitzero"`
}

// Info lowers the answer of GET /info.
func Info(v Version, i system.Info) any {
	if v.before(53) {
		i.NRI = nil
	}
	if v.before(49) {
		i.FirewallBackend = nil
	}
	if v.before(46) {
		i.Containerd = nil
	}
	if v.before(44) {
		runtimes := make(map[string]system.RuntimeWithStatus, len(i.Runtimes))
		for name, r := range i.Runtimes {
			runtimes[name] = system.RuntimeWithStatus{Runtime: r.Runtime}
		}
		i.Runtimes = runtimes
	}
	if v.Has(50) {
		return i
	}
	i.DiscoveredDevices = nil
	old := info{
		Info:             i,
		ContainerdCommit: commit{ID: i.ContainerdCommit.ID},
		RuncCommit:       commit{ID: i.RuncCommit.ID},
		InitCommit:       commit{ID: i.InitCommit.ID},
		RegistryConfig:   &registryConfig{ServiceConfig: i.RegistryConfig},
	}
	if v.before(49) {
		for _, c := range []*commit{&old.ContainerdCommit, &old.RuncCommit, &old.InitCommit} {
			c.Expected = c.ID
		}
		old.RegistryConfig.AllowNondistributableArtifactsCIDRs = []string{}
		old.RegistryConfig.AllowNondistributableArtifactsHostnames = []string{}
	}
	return old
}

// legacyEvent is an event before API 1.52. The fields were deprecated in 1.22,
// yet clients up to docker CLI 25 panic without them.
type legacyEvent struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	From   string `json:"from,omitempty"`
	events.Message
}

// Event lowers one message of GET /events. ok is false if clients of that
// version do not know it.
func Event(v Version, m events.Message) (_ any, ok bool) {
	if v.before(46) && m.Type == events.ImageEventType && m.Action == events.ActionCreate {
		return nil, false
	}
	if v.Has(52) {
		return m, true
	}
	switch m.Type {
	case events.ContainerEventType:
		return legacyEvent{string(m.Action), m.Actor.ID, m.Actor.Attributes["image"], m}, true
	case events.ImageEventType:
		return legacyEvent{Status: string(m.Action), ID: m.Actor.ID, Message: m}, true
	default:
		return m, true
	}
}
