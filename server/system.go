package server

import (
	"cmp"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/server/compat"
)

// About is what the daemon knows of itself and does not change while it runs.
type About struct {
	Version   string // of Berth, without v
	GitCommit string // "": unknown
	BuildTime string // RFC 3339; "": unknown
	ID        string // of this engine, kept in its data-root
	Name      string // the machine's host name
	DataRoot  string
	LogDriver string // of containers that do not say otherwise
	LogOpts   map[string]string
	Sandbox   string // path of berth-sandbox
	// Seccomp is the profile of containers that name none, as dockerd names it:
	// "builtin", "unconfined" or a file; "": builtin.
	Seccomp string
	// AppArmor: containers that name no profile get the default one.
	AppArmor bool
	// CgroupVersion is "1" or "2"; a hybrid host is "1", as the controllers are.
	CgroupVersion string
	CgroupDriver  string // "cgroupfs" or "systemd"
	UserNS        bool   // containers run in a user namespace
	// AddressPools are those that are configured, not the built-in ones.
	AddressPools []system.NetworkAddressPool
	Warnings     []string // added to what /info finds
}

func (s *Server) ping(w http.ResponseWriter, r *request) error {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Swarm", string(swarm.LocalNodeStateInactive))
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		h.Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	_, err := w.Write([]byte("OK"))
	return err
}

func (s *Server) version(w http.ResponseWriter, r *request) error {
	a, kernel := s.o.About, kernelVersion()
	v := system.VersionResponse{
		Platform:      system.PlatformInfo{Name: "Berth Engine"},
		Version:       a.Version,
		APIVersion:    compat.NewestFor(r.UserAgent()).String(),
		MinAPIVersion: compat.Oldest.String(),
		Os:            runtime.GOOS,
		Arch:          runtime.GOARCH,
		GitCommit:     a.GitCommit,
		GoVersion:     runtime.Version(),
		KernelVersion: kernel,
		BuildTime:     a.BuildTime,
	}
	v.Components = []system.ComponentVersion{
		{Name: "Engine", Version: a.Version, Details: map[string]string{
			"ApiVersion": v.APIVersion, "MinAPIVersion": v.MinAPIVersion, "Os": v.Os, "Arch": v.Arch,
			"GitCommit": v.GitCommit, "GoVersion": v.GoVersion, "KernelVersion": kernel, "BuildTime": v.BuildTime,
			"Experimental": "false",
		}},
		{Name: "berth-sandbox", Version: a.Version, Details: map[string]string{"GitCommit": v.GitCommit}},
	}
	if lib := moduleVersion("github.com/containerd/containerd/v2"); lib != "" {
		v.Components = append(v.Components, system.ComponentVersion{Name: "containerd (library)", Version: lib})
	}
	writeJSON(w, http.StatusOK, v)
	return nil
}

func (s *Server) info(w http.ResponseWriter, r *request) error {
	images, err := s.o.Images.List(r.Context(), image.ListOptions{})
	if err != nil {
		return err
	}
	a, set, host := s.o.About, s.o.Settings(), readHost(s.o.About.CgroupVersion)
	running, paused, stopped := s.o.Containers.Counts()
	dirs, devices := s.o.Containers.Devices()
	i := system.Info{
		ID: a.ID, Name: a.Name, ServerVersion: a.Version, DockerRootDir: a.DataRoot,
		Containers: running + paused + stopped, ContainersRunning: running, ContainersPaused: paused, ContainersStopped: stopped,
		Images:       len(images),
		Driver:       storageDriver,
		DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}},
		Plugins: system.PluginsInfo{
			Volume: s.o.Volumes.Drivers(), Authorization: s.o.Authz(), Network: s.networkDrivers(), Log: container.LogDrivers(),
		},
		MemoryLimit: host.memory, SwapLimit: host.swap, CPUCfsPeriod: host.cpu, CPUCfsQuota: host.cpu,
		CPUShares: host.cpuShares, CPUSet: host.cpuset, PidsLimit: host.pids, OomKillDisable: host.oomKillDisable,
		IPv4Forwarding: host.forwarding,
		Debug:          set.Debug, NFd: openFiles(), NGoroutines: runtime.NumGoroutine(), NEventsListener: s.o.Events.Subscribers(),
		SystemTime:    time.Now().Format(time.RFC3339Nano),
		LoggingDriver: a.LogDriver,
		CgroupDriver:  a.CgroupDriver, CgroupVersion: a.CgroupVersion,
		KernelVersion: kernelVersion(), OperatingSystem: host.osName, OSVersion: host.osVersion,
		OSType: runtime.GOOS, Architecture: host.machine,
		NCPU: runtime.NumCPU(), MemTotal: host.memTotal,
		IndexServerAddress: "https://index.docker.io/v1/",
		RegistryConfig:     registryConfig(set.Registries),
		Labels:             append([]string{}, set.Labels...),
		HTTPProxy:          proxyOf("HTTP_PROXY"), HTTPSProxy: proxyOf("HTTPS_PROXY"), NoProxy: proxyOf("NO_PROXY"),
		Runtimes:           runtimes(a.Sandbox, set.Runtimes),
		DefaultRuntime:     cmp.Or(set.DefaultRuntime, container.OwnRuntime),
		Swarm:              swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive},
		LiveRestoreEnabled: true,
		InitBinary:         "berth-init",
		ContainerdCommit:   system.Commit{ID: "N/A"}, RuncCommit: system.Commit{ID: "N/A"}, InitCommit: system.Commit{ID: "N/A"},
		SecurityOptions: []string{"name=seccomp,profile=" + cmp.Or(a.Seccomp, "builtin"), "name=cgroupns"},
		FirewallBackend: &system.FirewallInfo{Driver: "nftables"},
		CDISpecDirs:     dirs, DiscoveredDevices: devices, DefaultAddressPools: a.AddressPools,
		Warnings: append(host.warnings(), a.Warnings...),
	}
	if a.AppArmor {
		i.SecurityOptions = append([]string{"name=apparmor"}, i.SecurityOptions...)
	}
	if a.UserNS {
		i.SecurityOptions = append(i.SecurityOptions, "name=userns")
	}
	if s.o.Warnings != nil {
		for _, text := range s.o.Warnings() {
			i.Warnings = append(i.Warnings, "WARNING: "+text)
		}
	}
	writeJSON(w, http.StatusOK, compat.Info(r.version, i))
	return nil
}

// runtimes lists Berth's own and the others.
func runtimes(own string, others map[string][]string) map[string]system.RuntimeWithStatus {
	all := map[string]system.RuntimeWithStatus{container.OwnRuntime: {Runtime: system.Runtime{Path: own}}}
	for name, command := range others {
		all[name] = system.RuntimeWithStatus{Runtime: system.Runtime{Path: command[0], Args: command[1:]}}
	}
	return all
}

// registryConfig is the registry settings in Docker's form.
func registryConfig(r image.Registries) *registry.ServiceConfig {
	c := &registry.ServiceConfig{
		Mirrors:      append([]string{}, r.Mirrors["docker.io"]...),
		IndexConfigs: map[string]*registry.IndexInfo{},
	}
	for host, mirrors := range r.Mirrors {
		c.IndexConfigs[host] = &registry.IndexInfo{Name: host, Mirrors: mirrors, Secure: true}
	}
	for _, text := range append([]string{"::1/128", "127.0.0.0/8"}, r.Insecure...) {
		if p, err := netip.ParsePrefix(text); err == nil {
			c.InsecureRegistryCIDRs = append(c.InsecureRegistryCIDRs, p)
			continue
		}
		if c.IndexConfigs[text] == nil {
			c.IndexConfigs[text] = &registry.IndexInfo{Name: text, Mirrors: []string{}}
		}
		c.IndexConfigs[text].Secure = false
	}
	hub := c.IndexConfigs["docker.io"]
	if hub == nil {
		hub = &registry.IndexInfo{Name: "docker.io", Mirrors: c.Mirrors, Secure: true}
		c.IndexConfigs["docker.io"] = hub
	}
	hub.Official = true
	return c
}

func (h host) warnings() []string {
	var w []string
	for _, c := range []struct {
		have bool
		what string
	}{
		{h.memory, "memory limit"},
		{h.swap, "swap limit"},
		{h.cpu, "cpu cfs quota"},
		{h.cpuShares, "cpu shares"},
		{h.cpuset, "cpuset"},
		{h.pids, "pids limit"},
	} {
		if !c.have {
			w = append(w, "WARNING: No "+c.what+" support")
		}
	}
	if !h.forwarding {
		w = append(w, "WARNING: IPv4 forwarding is disabled")
	}
	return w
}

// quoted undoes the quoting of os-release.
func quoted(s string) string {
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return s
}
