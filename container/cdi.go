package container

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	systemtypes "github.com/moby/moby/api/types/system"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"
)

const (
	driverCDI  = "cdi"
	nvidiaKind = "nvidia.com/gpu"
)

// checkDeviceRequests refuses requests for devices that no host could fulfil.
func checkDeviceRequests(h *container.HostConfig) error {
	for i := range h.DeviceRequests {
		d := &h.DeviceRequests[i]
		switch {
		case d.Count != 0 && len(d.DeviceIDs) > 0:
			return invalid("cannot set both Count and DeviceIDs on device request")
		case d.Driver != driverCDI && !wantsGPU(d):
			return invalid("could not select device driver %q with capabilities: %v", d.Driver, d.Capabilities)
		case len(d.Options) > 0:
			return invalid("DeviceRequests: options are not supported by the device driver %q", d.Driver)
		case d.Driver != driverCDI:
			continue
		case d.Count != 0:
			return invalid("DeviceRequests: Count is not supported by the device driver %q: name the devices", d.Driver)
		case len(d.DeviceIDs) == 0:
			return invalid("DeviceRequests: no device is named")
		}
		for _, name := range d.DeviceIDs {
			if !parser.IsQualifiedName(name) {
				return invalid("invalid CDI device name %q: it is to be vendor/class=name", name)
			}
		}
	}
	return nil
}

// wantsGPU recognises what --gpus asks for.
func wantsGPU(d *container.DeviceRequest) bool {
	return (d.Driver == "" || d.Driver == "nvidia") && slices.ContainsFunc(d.Capabilities, func(all []string) bool { return slices.Contains(all, "gpu") })
}

// injectDevices changes the specification as the CDI specifications of the
// devices that a container asks for say: device nodes, mounts, variables, hooks.
// The directories are read anew for each start that asks for one: what a driver
// installs is there at once.
func (s *Service) injectDevices(h *container.HostConfig, sp *specs.Spec) error {
	if len(h.DeviceRequests) == 0 {
		return nil
	}
	cache, err := s.readCDI()
	if err != nil {
		return invalid("CDI device injection failed: %w", err)
	}
	var names []string
	for i := range h.DeviceRequests {
		d := &h.DeviceRequests[i]
		if d.Driver == driverCDI {
			names = append(names, d.DeviceIDs...)
			continue
		}
		gpus, err := chooseGPUs(d, cache.ListDevices())
		if err != nil {
			return err
		}
		names = append(names, gpus...)
	}
	if _, err := cache.InjectDevices(sp, names...); err != nil {
		return invalid("CDI device injection failed: %w", err)
	}
	return nil
}

// readCDI reads the specifications that are there now.
func (s *Service) readCDI() (*cdi.Cache, error) {
	dirs := s.defaults.CDISpecDirs
	if dirs == nil {
		dirs = cdi.DefaultSpecDirs
	}
	return cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
}

// Devices tells where CDI specifications are looked for, and which devices those
// have that are there now.
func (s *Service) Devices() (dirs []string, devices []systemtypes.DeviceInfo) {
	cache, err := s.readCDI()
	if err != nil {
		s.log.Warn("read CDI specifications", "error", err)
		return []string{}, nil
	}
	for _, name := range cache.ListDevices() {
		devices = append(devices, systemtypes.DeviceInfo{Source: driverCDI, ID: name})
	}
	return cache.GetSpecDirectories(), devices
}

// chooseGPUs picks among the graphics processors that CDI knows: those named, the
// first ones, or all.
func chooseGPUs(d *container.DeviceRequest, known []string) ([]string, error) {
	var single []string
	for _, name := range known {
		if id, ok := strings.CutPrefix(name, nvidiaKind+"="); ok && id != "all" {
			single = append(single, name)
		}
	}
	if len(single) == 0 {
		return nil, invalid("could not select device driver %q with capabilities: %v: no CDI specification has devices of %s (nvidia-ctk cdi generate makes one)",
			d.Driver, d.Capabilities, nvidiaKind)
	}
	switch {
	case len(d.DeviceIDs) > 0:
		var out []string
		for _, id := range d.DeviceIDs {
			out = append(out, nvidiaKind+"="+id)
		}
		return out, nil
	case d.Count < 0 || d.Count > len(single):
		return single, nil
	}
	return single[:max(d.Count, 1)], nil
}
