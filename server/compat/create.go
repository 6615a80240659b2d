package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
)

// CreateBody is the body of POST /containers/create in any version: today's
// request, and the fields that the api module has dropped since.
type CreateBody struct {
	container.CreateRequest
	// MacAddress of the container's first network, until API 1.52.
	MacAddress string
	// Cmd and Entrypoint may be one string instead of a list.
	Cmd, Entrypoint words
}

// words is a list of strings which clients may also write as one string.
type words []string

// UnmarshalJSON takes both forms.
func (w *words) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		*w = words{s}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

// Host is what lifting a request depends on beside its version.
type Host struct {
	CgroupV2 bool                // the unified hierarchy holds the controllers
	Client   string              // the client's User-Agent
	Log      container.LogConfig // of containers that do not say otherwise
}

// Lift returns the request as a client of the newest API would have sent it, and
// the warnings that the answer has to carry. HostConfig and NetworkingConfig of
// the result are set.
func (b *CreateBody) Lift(v Version, h Host) (*container.CreateRequest, []string, error) {
	req := b.CreateRequest
	if req.Config == nil {
		if b.MacAddress == "" && b.Cmd == nil && b.Entrypoint == nil {
			return nil, nil, invalid("config cannot be empty in order to create a container")
		}
		req.Config = &container.Config{}
	}
	req.Config.Cmd, req.Config.Entrypoint = b.Cmd, b.Entrypoint
	if req.HostConfig == nil {
		req.HostConfig = &container.HostConfig{}
	}
	if req.NetworkingConfig == nil {
		req.NetworkingConfig = &network.NetworkingConfig{}
	}
	for name, ep := range req.NetworkingConfig.EndpointsConfig {
		if ep == nil {
			req.NetworkingConfig.EndpointsConfig[name] = &network.EndpointSettings{}
		}
	}
	defaultNetwork(&req)
	liftHost(v, h, req.HostConfig)
	liftLog(h, &req.HostConfig.LogConfig)
	if err := liftMounts(v, req.HostConfig); err != nil {
		return nil, nil, err
	}
	if v.before(44) {
		if req.Config.Healthcheck != nil {
			req.Config.Healthcheck.StartInterval = 0
		}
		if eps := req.NetworkingConfig.EndpointsConfig; len(eps) > 1 {
			return nil, nil, invalid("Container cannot be created with multiple network endpoints: " + strings.Join(slices.Sorted(maps.Keys(eps)), ", "))
		}
	}
	if v.before(48) {
		for _, ep := range req.NetworkingConfig.EndpointsConfig {
			ep.GwPriority = 0
		}
	}
	var warnings []string
	for _, lift := range []func(Version, *container.CreateRequest) (string, error){b.liftMAC, liftSysctls, liftPorts, volumeDriver} {
		w, err := lift(v, &req)
		if err != nil {
			return nil, nil, err
		}
		if w != "" {
			warnings = append(warnings, w)
		}
	}
	return &req, warnings, nil
}

// defaultNetwork replaces the name "default", and the empty one, by the network
// it means.
func defaultNetwork(req *container.CreateRequest) {
	hc := req.HostConfig
	if hc.NetworkMode != "" && !hc.NetworkMode.IsDefault() {
		return
	}
	hc.NetworkMode = network.NetworkBridge
	eps := req.NetworkingConfig.EndpointsConfig
	if ep, ok := eps[network.NetworkDefault]; ok {
		eps[network.NetworkBridge] = ep
		delete(eps, network.NetworkDefault)
	}
}

func liftHost(v Version, h Host, hc *container.HostConfig) {
	if v.before(25) {
		hc.AutoRemove = false // the client removed the container itself
	}
	// Before 1.40 the default IpcMode was shareable. No container can join
	// another's IPC namespace yet, so the tighter default tells no difference.
	if v.before(41) && hc.CgroupnsMode.IsEmpty() && !h.CgroupV2 {
		hc.CgroupnsMode = container.CgroupnsModeHost
	}
	if v.before(42) {
		hc.ConsoleSize = [2]uint{}
	}
	if v.before(43) {
		hc.Annotations = nil
	}
	if hc.PidsLimit != nil && *hc.PidsLimit <= 0 {
		hc.PidsLimit = nil // 0 and negative numbers all mean no limit
	}
}

func liftMounts(v Version, hc *container.HostConfig) error {
	for i := range hc.Mounts {
		m := &hc.Mounts[i]
		bind := m.BindOptions
		if bind != nil && v.before(40) {
			bind.NonRecursive = false
		}
		if v.before(42) {
			if bind != nil {
				bind.CreateMountpoint = false
			}
			// Not checked then, so some clients sent them.
			if m.Type != mount.TypeVolume {
				m.VolumeOptions = nil
			}
			if m.Type != mount.TypeTmpfs {
				m.TmpfsOptions = nil
			}
		}
		for field, wrong := range map[string]bool{
			"VolumeOptions": m.VolumeOptions != nil && m.Type != mount.TypeVolume,
			"BindOptions":   bind != nil && m.Type != mount.TypeBind && v.Has(42),
			"TmpfsOptions":  m.TmpfsOptions != nil && m.Type != mount.TypeTmpfs,
		} {
			if wrong {
				return invalid(fmt.Sprintf("%s must not be specified on mount type %q", field, m.Type))
			}
		}
		switch {
		case v.before(44) && bind != nil && bind.ReadOnlyForceRecursive:
			return invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
		case v.before(45) && m.VolumeOptions != nil && m.VolumeOptions.Subpath != "":
			return invalid("VolumeOptions.Subpath needs API v1.45 or newer")
		case v.before(48) && m.Type == mount.TypeImage:
			return invalid(`Mount type "Image" needs API v1.48 or newer`)
		case v.before(44) && m.Type == mount.TypeBind:
			if bind == nil {
				bind = &mount.BindOptions{}
				m.BindOptions = bind
			}
			bind.ReadOnlyNonRecursive = true // read-only covered one mount then, not those below
		}
	}
	return nil
}

func (b *CreateBody) liftMAC(v Version, req *container.CreateRequest) (string, error) {
	eps := req.NetworkingConfig.EndpointsConfig
	if v.before(44) {
		for _, ep := range eps {
			ep.MacAddress = nil // the field did not exist
		}
	}
	if b.MacAddress == "" || v.Has(52) {
		return "", nil
	}
	mac, err := net.ParseMAC(b.MacAddress)
	if err != nil {
		return "", invalid(fmt.Sprintf("invalid MAC address: %s", b.MacAddress))
	}
	mode := req.HostConfig.NetworkMode
	own := mode.IsBridge() || mode.IsUserDefined()
	if !own { // Docker passes over it since API v1.44
		return "", invalid("conflicting options: mac-address and the network mode")
	}
	if own {
		ep, err := endpoint(v, mode, req.NetworkingConfig)
		if err != nil {
			return "", fmt.Errorf("unable to migrate container-wide MAC address to a specific network: %w", err)
		}
		if ep.MacAddress != nil && ep.MacAddress.String() != mac.String() {
			return "", invalid("the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty")
		}
		ep.MacAddress = network.HardwareAddr(mac)
	}
	if v.before(44) {
		return "", nil
	}
	return "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.", nil
}

// endpoint finds, or makes, the settings of the container's main network.
func endpoint(v Version, mode container.NetworkMode, nc *network.NetworkingConfig) (*network.EndpointSettings, error) {
	name := mode.NetworkName()
	if len(nc.EndpointsConfig) == 0 {
		ep := &network.EndpointSettings{}
		nc.EndpointsConfig = map[string]*network.EndpointSettings{name: ep}
		return ep, nil
	}
	if v.before(44) { // there is at most one, by whatever name
		for _, ep := range nc.EndpointsConfig {
			return ep, nil
		}
	}
	ep, ok := nc.EndpointsConfig[name]
	if !ok {
		return nil, invalid("HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks")
	}
	return ep, nil
}

// endpointSysctls is the driver option that carries an endpoint's sysctls.
const endpointSysctls = "com.docker.network.endpoint.sysctls"

// liftSysctls moves sysctls of eth0 to the endpoint they belong to, since
// interface names are not known in advance.
func liftSysctls(v Version, req *container.CreateRequest) (string, error) {
	hc := req.HostConfig
	if !hc.NetworkMode.IsPrivate() {
		return "", nil
	}
	var keys, moved []string
	for _, k := range slices.Sorted(maps.Keys(hc.Sysctls)) {
		p := strings.SplitN(k, ".", 5)
		if len(p) != 5 || p[0] != "net" || !strings.HasPrefix(p[3], "eth") {
			continue
		}
		if v.Has(48) {
			return "", invalid(fmt.Sprintf("interface specific sysctl setting %q must be supplied using driver option '%s'", k, endpointSysctls))
		}
		if p[3] != "eth0" {
			return "", invalid(fmt.Sprintf("unable to determine network endpoint for sysctl %s, use driver option '%s' to set per-interface sysctls", k, endpointSysctls))
		}
		keys = append(keys, k)
		moved = append(moved, fmt.Sprintf("net.%s.%s.IFNAME.%s=%s", p[1], p[2], p[4], hc.Sysctls[k]))
	}
	if len(keys) == 0 {
		return "", nil
	}
	ep, err := endpoint(v, hc.NetworkMode, req.NetworkingConfig)
	if err != nil {
		return "", fmt.Errorf("unable to find a network for sysctl %s: %w", keys[0], err)
	}
	opt := strings.Join(moved, ",")
	warning := fmt.Sprintf("Migrated sysctl %q to DriverOpts{%q:%q}.", strings.Join(keys, ","), endpointSysctls, opt)
	if old, ok := ep.DriverOpts[endpointSysctls]; ok {
		opt += "," + old // the endpoint's own settings win
	}
	if ep.DriverOpts == nil {
		ep.DriverOpts = map[string]string{}
	}
	ep.DriverOpts[endpointSysctls] = opt
	for _, k := range keys {
		delete(hc.Sysctls, k)
	}
	return warning, nil
}

// liftPorts gives an empty list of bindings its old meaning: any host port.
func liftPorts(v Version, req *container.CreateRequest) (string, error) {
	var empty []string
	for port, bindings := range req.HostConfig.PortBindings {
		switch {
		case len(bindings) > 0:
		case v.Has(53):
			delete(req.HostConfig.PortBindings, port)
		default:
			req.HostConfig.PortBindings[port] = []network.PortBinding{{}}
			empty = append(empty, port.String())
		}
	}
	if v.before(52) || len(empty) == 0 {
		return "", nil
	}
	slices.Sort(empty)
	return "Following container port(s) have an empty list of port-bindings: " + strings.Join(empty, ", ") + ". Starting with API 1.53, such bindings will be discarded.", nil
}

func volumeDriver(v Version, req *container.CreateRequest) (string, error) {
	if req.HostConfig.VolumeDriver == "" || v.before(48) {
		return "", nil
	}
	for _, m := range req.HostConfig.Mounts {
		if m.Type == mount.TypeVolume && (m.VolumeOptions == nil || m.VolumeOptions.DriverConfig == nil || m.VolumeOptions.DriverConfig.Name == "") {
			return "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead", nil
		}
	}
	return "", nil
}

func invalid(text string) error { return errdefs.ErrInvalidArgument.WithMessage(text) }
