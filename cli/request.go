package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

// request turns the flags into what the API wants. changed tells which flags
// were given; for some, giving the default means something.
func (c *containerFlags) request(f *pflag.FlagSet) (*container.CreateRequest, error) {
	cfg, err := c.config(f)
	if err != nil {
		return nil, err
	}
	host, err := c.hostConfig(f)
	if err != nil {
		return nil, err
	}
	if err := c.volumes(cfg, host); err != nil {
		return nil, err
	}
	if err := c.ports(cfg, host); err != nil {
		return nil, err
	}
	endpoints, err := c.endpoints()
	if err != nil {
		return nil, err
	}
	return &container.CreateRequest{
		Config: cfg, HostConfig: host,
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: endpoints},
	}, nil
}

func (c *containerFlags) config(f *pflag.FlagSet) (*container.Config, error) {
	env, err := opts.EnvFiles(c.envFile.Values)
	if err != nil {
		return nil, err
	}
	labels, err := opts.LabelFiles(c.labelFile.Values)
	if err != nil {
		return nil, err
	}
	health, err := c.health()
	if err != nil {
		return nil, err
	}
	cfg := &container.Config{
		Image:        c.image,
		Cmd:          c.args,
		Hostname:     c.hostname,
		Domainname:   c.domainname,
		User:         c.user,
		WorkingDir:   c.workdir,
		Tty:          c.tty,
		OpenStdin:    c.interactive,
		AttachStdin:  c.interactive || c.attach.Has("stdin"),
		AttachStdout: len(c.attach.Values) == 0 || c.attach.Has("stdout"),
		AttachStderr: len(c.attach.Values) == 0 || c.attach.Has("stderr"),
		Env:          append(env, c.env.Values...),
		Labels:       opts.PairsToMap(append(labels, c.label.Values...)),
		StopSignal:   c.stopSignal,
		Healthcheck:  health,
	}
	// A container made for one attached input ends when that client goes.
	cfg.StdinOnce = cfg.OpenStdin && cfg.AttachStdin
	if len(c.args) == 0 {
		cfg.Cmd = nil // the image's
	}
	switch {
	case c.entrypoint != "":
		cfg.Entrypoint = []string{c.entrypoint}
	case f.Changed("entrypoint"):
		cfg.Entrypoint = []string{""} // clears the image's
	}
	if f.Changed("stop-timeout") {
		cfg.StopTimeout = &c.stopTimeout
	}
	return cfg, nil
}

// volumes puts binds into the host's part and anonymous volumes into the
// portable part, each once.
func (c *containerFlags) volumes(cfg *container.Config, host *container.HostConfig) error {
	cfg.Volumes = map[string]struct{}{}
	seen := map[string]bool{}
	for _, spec := range c.volume.Values {
		bind, anonymous, err := opts.ParseVolume(spec)
		switch {
		case err != nil:
			return err
		case anonymous != "":
			cfg.Volumes[anonymous] = struct{}{}
		case !seen[bind]:
			seen[bind] = true
			host.Binds = append(host.Binds, bind)
		}
	}
	return nil
}

func (c *containerFlags) ports(cfg *container.Config, host *container.HostConfig) (err error) {
	if cfg.ExposedPorts, host.PortBindings, err = opts.Publish(c.publish.Values); err != nil {
		return err
	}
	for _, spec := range c.expose.Values {
		ports, err := opts.ParseExpose(spec)
		if err != nil {
			return err
		}
		for _, p := range ports {
			cfg.ExposedPorts[p] = struct{}{}
		}
	}
	return nil
}

func (c *containerFlags) health() (*container.HealthConfig, error) {
	given := c.healthCmd != "" || c.healthInterval != 0 || c.healthTimeout != 0 ||
		c.healthStart != 0 || c.healthStartEvery != 0 || c.healthRetries != 0
	switch {
	case c.noHealthcheck && given:
		return nil, errors.New("--no-healthcheck conflicts with --health-* options")
	case c.noHealthcheck:
		return &container.HealthConfig{Test: []string{"NONE"}}, nil
	case !given:
		return nil, nil
	}
	for _, v := range []struct {
		name string
		bad  bool
	}{
		{"interval", c.healthInterval < 0},
		{"timeout", c.healthTimeout < 0},
		{"retries", c.healthRetries < 0},
		{"start-period", c.healthStart < 0},
		{"start-interval", c.healthStartEvery < 0},
	} {
		if v.bad {
			return nil, fmt.Errorf("--health-%s cannot be negative", v.name)
		}
	}
	h := &container.HealthConfig{
		Interval: c.healthInterval, Timeout: c.healthTimeout, StartPeriod: c.healthStart,
		StartInterval: c.healthStartEvery, Retries: c.healthRetries,
	}
	if c.healthCmd != "" {
		h.Test = []string{"CMD-SHELL", c.healthCmd}
	}
	return h, nil
}

func addrs(list []string) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, s := range list {
		// The flag has checked it.
		if a, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil {
			out = append(out, a)
		}
	}
	return out
}
