package container

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"
	nettypes "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"

	"github.com/berth-engine/berth/network"
)

// rootDriver names the kind of root file systems, as the API spells it.
const rootDriver = "overlayfs"

// Inspect returns all that is known of a container.
func (s *Service) Inspect(ctx context.Context, ref string, size bool) (container.InspectResponse, error) {
	e, err := s.find(ref)
	if err != nil {
		return container.InspectResponse{}, err
	}
	r := e.record()
	dir := s.records.dir(r.ID)
	config, host := *r.Config, *r.HostConfig
	host.Links = s.shownLinks(r)
	resp := container.InspectResponse{
		ID: r.ID, Name: "/" + r.Name, Created: r.Created.Format(time.RFC3339Nano),
		State: state(r, e.health()), Image: r.Image.ID.String(), RestartCount: r.RestartCount,
		Driver: rootDriver, Platform: r.Image.Platform.OS, ImageManifestDescriptor: &r.Image.Manifest,
		GraphDriver: &storage.DriverData{Name: rootDriver, Data: map[string]string{
			"UpperDir": filepath.Join(dir, upperDir), "WorkDir": filepath.Join(dir, workDir),
		}},
		Storage: &storage.Storage{RootFS: &storage.RootFSStorage{Snapshot: &storage.RootFSStorageSnapshot{Name: rootDriver}}},
		Config:  &config, HostConfig: &host, Mounts: s.mountPoints(r),
		NetworkSettings: s.networkSettings(r), ExecIDs: s.execs.Of(r.ID),
		AppArmorProfile: s.profileOf(r),
	}
	if argv := slices.Concat(config.Entrypoint, config.Cmd); len(argv) > 0 {
		resp.Path, resp.Args = argv[0], argv[1:]
	}
	if r.Run > 0 {
		resp.HostnamePath = filepath.Join(dir, "hostname")
		resp.HostsPath = filepath.Join(dir, "hosts")
		resp.ResolvConfPath = filepath.Join(dir, "resolv.conf")
	}
	resp.LogPath = s.logPath(r)
	if size {
		rw, root := s.sizes(ctx, r)
		resp.SizeRw, resp.SizeRootFs = &rw, &root
	}
	return resp, nil
}

func state(r *Record, h *container.Health) *container.State {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "0001-01-01T00:00:00Z"
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return &container.State{
		Status:  r.shown(),
		Running: r.State.live() || r.State == Restarting,
		Paused:  r.State == Paused, Restarting: r.State == Restarting, Dead: r.State == Dead,
		OOMKilled: r.OOMKilled, Pid: r.Pid, ExitCode: r.ExitCode, Error: r.Error,
		StartedAt: at(r.StartedAt), FinishedAt: at(r.FinishedAt), Health: h,
	}
}

func (s *Service) mountPoints(r *Record) []container.MountPoint {
	out := []container.MountPoint{}
	for i := range r.Mounts {
		m := &r.Mounts[i]
		p := container.MountPoint{
			Type: m.Type, Name: m.Name, Source: m.Source, Destination: m.Destination, Mode: m.Mode,
			RW: !m.ReadOnly, Propagation: m.Propagation,
		}
		switch m.Type {
		case mounttypes.TypeTmpfs:
			if _, ok := r.HostConfig.Tmpfs[m.Destination]; ok {
				continue // shown in HostConfig.Tmpfs
			}
			p.Mode = ""
		case mounttypes.TypeVolume:
			p.Driver = "local"
			if v, err := s.volumes.Resolve(m.VolumeID, m.Name); err == nil {
				p.Name, p.Source, p.Driver = v.Name, v.Path, v.Driver
			}
		default: // nothing to add
		}
		out = append(out, p)
	}
	return out
}

func (s *Service) networkSettings(r *Record) *container.NetworkSettings {
	ns := &container.NetworkSettings{Ports: nettypes.PortMap{}, Networks: s.endpoints(r)}
	if !r.State.live() {
		return ns
	}
	ns.SandboxID = r.ID
	ns.SandboxKey = "/proc/" + strconv.Itoa(r.Pid) + "/ns/net"
	for p := range exposed(r) {
		ns.Ports[p] = nil
	}
	if r.Network == nil {
		return ns
	}
	for b := range r.Network.Ports.All() {
		p, ok := nettypes.PortFrom(b.ContainerPort, nettypes.IPProtocol(b.Proto))
		switch {
		case ok && b.Routed:
			ns.Ports[p] = append(ns.Ports[p], nettypes.PortBinding{})
		case ok:
			ns.Ports[p] = append(ns.Ports[p], nettypes.PortBinding{HostIP: b.HostIP, HostPort: strconv.Itoa(int(b.HostPort))})
		}
	}
	return ns
}

// endpoints are the networks of a container: what was asked for, with what
// there is.
func (s *Service) endpoints(r *Record) map[string]*nettypes.EndpointSettings {
	out := map[string]*nettypes.EndpointSettings{}
	mode := r.HostConfig.NetworkMode
	if mode.IsContainer() {
		return out
	}
	for name, asked := range r.Endpoints {
		if out[name] = asked.Copy(); out[name] == nil {
			out[name] = &nettypes.EndpointSettings{}
		}
	}
	if r.Endpoints == nil || mode.IsHost() {
		if name := s.networkName(string(mode)); out[name] == nil {
			out[name] = &nettypes.EndpointSettings{}
		}
	}
	for name, es := range out { // also while the container is on none of them
		if called, id, ok := s.networks.Identify(name); ok && called == name {
			es.NetworkID = id
		}
	}
	if r.Network == nil {
		return out
	}
	for i := range r.Network.Endpoints {
		e := &r.Network.Endpoints[i]
		es := out[e.Network]
		if es == nil {
			es = &nettypes.EndpointSettings{}
			out[e.Network] = es
		}
		describe(es, e)
	}
	return out
}

// describe fills in what there is.
func describe(es *nettypes.EndpointSettings, e *network.Endpoint) {
	es.NetworkID, es.EndpointID, es.DNSNames = e.NetworkID, e.EndpointID, e.Names
	es.Gateway, es.IPv6Gateway = e.Gateway, e.Gateway6
	if e.IPv4.IsValid() {
		es.IPAddress, es.IPPrefixLen = e.IPv4.Addr(), e.IPv4.Bits()
	}
	if e.IPv6.IsValid() {
		es.GlobalIPv6Address, es.GlobalIPv6PrefixLen = e.IPv6.Addr(), e.IPv6.Bits()
	}
	if mac, err := net.ParseMAC(e.MAC); err == nil {
		es.MacAddress = nettypes.HardwareAddr(mac)
	}
}
