package container

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
	"github.com/moby/sys/signal"

	"github.com/berth-engine/berth/container/health"
	"github.com/berth-engine/berth/container/spec"
)

// Bounds on what one request may carry; they keep the message to the sandbox
// and the record small.
const (
	maxHostname = 64 // what the kernel takes
	maxStrings  = 4 << 20
)

var hostname = regexp.MustCompile(`^[[:alnum:]_]([[:alnum:]_.-]*[[:alnum:]_])?$`)

// validateConfig checks the portable part of a request, merged with the image.
func validateConfig(c *container.Config) error {
	if err := refuseConfig(c); err != nil {
		return err
	}
	if err := health.Validate(c.Healthcheck); err != nil {
		return err
	}
	for _, e := range c.Env {
		if e == "" || strings.HasPrefix(e, "=") {
			return invalid("invalid environment variable: %s", e)
		}
	}
	total := 0
	for _, s := range slices.Concat(c.Env, c.Cmd, c.Entrypoint) {
		if strings.ContainsRune(s, 0) {
			return invalid("invalid config: NUL byte in command or environment")
		}
		total += len(s)
	}
	if total > maxStrings {
		return invalid("invalid config: command and environment are larger than %d bytes", maxStrings)
	}
	if c.WorkingDir != "" && (!path.IsAbs(c.WorkingDir) || strings.ContainsRune(c.WorkingDir, 0)) {
		return invalid("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir)
	}
	if c.StopSignal != "" {
		if _, err := signal.ParseSignal(c.StopSignal); err != nil {
			return invalid("%v", err)
		}
	}
	if c.Hostname != "" && (len(c.Hostname) > maxHostname || !hostname.MatchString(c.Hostname)) {
		return invalid("invalid hostname format: %s", c.Hostname)
	}
	if c.Domainname != "" && (len(c.Domainname) > maxHostname || !hostname.MatchString(c.Domainname)) {
		return invalid("invalid domainname format: %s", c.Domainname)
	}
	if c.StopTimeout != nil && *c.StopTimeout < -1 {
		return invalid("invalid stop timeout: %d", *c.StopTimeout)
	}
	for p := range c.ExposedPorts {
		if !p.IsValid() {
			return invalid("invalid port specification: %q", p.String())
		}
		if !slices.Contains([]nettypes.IPProtocol{nettypes.TCP, nettypes.UDP, nettypes.SCTP}, p.Proto()) {
			return invalid("invalid port specification: %q: invalid proto: %s", p.String(), p.Proto())
		}
	}
	return nil
}

// validateHostConfig checks the part of a request about this host, alone and
// against the portable part. The warnings are for the user.
func validateHostConfig(c *container.Config, h *container.HostConfig) (warnings []string, err error) {
	if err := refuseHostConfig(h); err != nil {
		return nil, err
	}
	if err := container.ValidateRestartPolicy(h.RestartPolicy); err != nil {
		return nil, err
	}
	if h.AutoRemove && !h.RestartPolicy.IsNone() {
		return nil, invalid("can't create 'AutoRemove' container with restart policy")
	}
	if err := validateModes(h); err != nil {
		return nil, err
	}
	warnings, err = validateNetwork(c, h)
	if err != nil {
		return nil, err
	}
	if err := validateNames(h); err != nil {
		return nil, err
	}
	more, err := validateResources(h)
	if err != nil {
		return nil, err
	}
	if err := checkDeviceRequests(h); err != nil {
		return nil, err
	}
	return append(warnings, more...), validateSecurity(h)
}

func validateModes(h *container.HostConfig) error {
	switch {
	case !h.IpcMode.Valid() || h.IpcMode.IsContainer() && h.IpcMode.Container() == "":
		return invalid("invalid IPC mode: %v", h.IpcMode)
	case !h.PidMode.Valid():
		return invalid("invalid PID mode: %v", h.PidMode)
	case !h.UTSMode.Valid():
		return invalid("invalid UTS mode: %v", h.UTSMode)
	case !h.CgroupnsMode.Valid():
		return invalid("invalid cgroup namespace mode: %v", h.CgroupnsMode)
	case !h.UsernsMode.Valid():
		return invalid("invalid user namespace mode: %v", h.UsernsMode)
	case h.NetworkMode.IsContainer() && h.NetworkMode.ConnectedContainer() == "":
		return invalid("invalid container format container:<name|id>")
	}
	return nil
}

// validateNetwork refuses options that contradict the network mode.
func validateNetwork(c *container.Config, h *container.HostConfig) ([]string, error) {
	if h.UTSMode.IsHost() && c.Hostname != "" {
		return nil, invalid("conflicting options: hostname and the UTS mode")
	}
	if h.NetworkMode.IsContainer() {
		switch { // in Docker's order
		case c.Hostname != "":
			return nil, invalid("conflicting options: hostname and the network mode")
		case len(h.DNS) > 0:
			return nil, invalid("conflicting options: dns and the network mode")
		case len(h.ExtraHosts) > 0:
			return nil, invalid("conflicting options: custom host-to-IP mapping and the network mode")
		case len(h.PortBindings) > 0 || h.PublishAllPorts:
			return nil, invalid("conflicting options: port publishing and the container type network mode")
		}
	}
	if _, err := portSpecs(c, h); err != nil {
		return nil, err
	}
	var warnings []string
	if (h.NetworkMode.IsHost() || h.NetworkMode.IsNone()) && (len(h.PortBindings) > 0 || h.PublishAllPorts) {
		warnings = append(warnings, "Published ports are discarded when using "+string(h.NetworkMode)+" network mode")
	}
	return warnings, nil
}

// validateNames checks what ends up in /etc/hosts, /etc/resolv.conf and the
// annotations: one line each.
func validateNames(h *container.HostConfig) error {
	for _, e := range h.ExtraHosts {
		if _, _, err := splitExtraHost(e); err != nil {
			return err
		}
	}
	for _, s := range slices.Concat(h.DNSSearch, h.DNSOptions) {
		if strings.ContainsAny(s, " \t\n\r\x00#;") || s == "" {
			return invalid("%q is not a valid domain or resolver option", s)
		}
	}
	for _, a := range h.DNS {
		if !a.IsValid() {
			return invalid("invalid DNS server address")
		}
	}
	for k, v := range h.Sysctls {
		// Which names are allowed, the sandbox knows.
		if k == "" || strings.ContainsAny(k+v, "\n\x00") {
			return invalid("invalid sysctl %q: empty, or more than one line", k)
		}
		if strings.HasPrefix(k, "net.") && h.NetworkMode.IsHost() {
			return invalid("sysctl %q not allowed in host network namespace", k)
		}
	}
	for k := range h.Annotations {
		if k == "" {
			return invalid("invalid Annotations: the empty string is not permitted as an annotation key")
		}
	}
	return nil
}

// splitExtraHost reads "name:address" or "name=address".
func splitExtraHost(s string) (name, addr string, err error) {
	name, addr, ok := strings.Cut(s, "=")
	if !ok {
		name, addr, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" || strings.ContainsAny(name, " \t\n\r\x00#") {
		return "", "", invalid("bad format for add-host: %q", s)
	}
	if addr == hostGateway {
		return name, addr, nil
	}
	if _, err := netip.ParseAddr(strings.Trim(addr, "[]")); err != nil {
		return "", "", invalid("invalid IP address in add-host: %q", addr)
	}
	return name, strings.Trim(addr, "[]"), nil
}

func validateSecurity(h *container.HostConfig) error {
	if _, err := spec.ParseSecurity(h.SecurityOpt); err != nil {
		return err
	}
	if _, err := spec.Capabilities(h, nil); err != nil {
		return err
	}
	for _, d := range h.Devices {
		if strings.Trim(d.CgroupPermissions, "rwm") != "" {
			return invalid("invalid device mode: %s", d.CgroupPermissions)
		}
	}
	for _, r := range h.DeviceCgroupRules {
		if _, err := spec.ParseDeviceRule(r); err != nil {
			return err
		}
	}
	return nil
}

// isBridge reports whether a network mode means the default bridge.
func isBridge(mode string) bool {
	return mode == "" || mode == nettypes.NetworkDefault || mode == nettypes.NetworkBridge
}
