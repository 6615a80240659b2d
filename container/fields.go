package container

import (
	"cmp"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/container/logs/driver"
)

// This file refuses the fields of a request that this engine does not honour
// yet, by name. A field is either used somewhere or stands here: a test
// enumerates all of them.

// refuseConfig refuses fields of container.Config.
func refuseConfig(c *container.Config) error {
	if c.ArgsEscaped {
		return invalid("ArgsEscaped is only for Windows containers")
	}
	return nil
}

// refuseHostConfig refuses fields of container.HostConfig.
func refuseHostConfig(h *container.HostConfig) error {
	if h.Cgroup != "" {
		return notImplemented("Cgroup")
	}
	for field, set := range map[string]bool{
		"CpuCount":           h.CPUCount != 0,
		"CpuPercent":         h.CPUPercent != 0,
		"IOMaximumIOps":      h.IOMaximumIOps != 0,
		"IOMaximumBandwidth": h.IOMaximumBandwidth != 0,
	} {
		if set {
			return invalid("%s is only for Windows containers", field)
		}
	}
	if !h.Isolation.IsDefault() {
		return invalid("invalid isolation '%s' on linux", h.Isolation)
	}
	return driver.Check(cmp.Or(h.LogConfig.Type, logLocal), h.LogConfig.Config)
}

// Log drivers that need nobody but the engine.
const (
	logLocal = "local"
	logNone  = "none"
)
