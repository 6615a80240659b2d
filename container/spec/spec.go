package spec

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Input is everything that a specification depends on.
type Input struct {
	ID     string
	Config *container.Config // the request merged with the image's defaults
	Host   *container.HostConfig

	User User // resolved inside the root file system
	// Mounts are added to the default ones, and replace those at the same
	// place: volumes, binds, tmpfs, and the engine's /etc files.
	Mounts []specs.Mount
	// Namespaces to join, by path. An empty path means a new one, unless the
	// mode of the host configuration says host.
	Namespaces Namespaces
	// Devices to make in /dev, with what the device cgroup allows.
	Devices []Device
	Blkio   Blkio
	// Capabilities that the kernel knows ("CAP_CHOWN", …), for --privileged and
	// --cap-add=ALL.
	Capabilities []string
	// CgroupsPath of the container's group; "": the sandbox's default.
	CgroupsPath string
	// Ulimits are the daemon's, used where the request has none of the name.
	Ulimits map[string]*container.Ulimit
	// LinkEnv are variables that tell of linked containers.
	LinkEnv []string
	// NoMqueue: the host has no /dev/mqueue to share with --ipc=host.
	NoMqueue bool
	// NoNewPrivs is the daemon's default; the request's option wins.
	NoNewPrivs bool
	// Seccomp is the daemon's profile, as in Security, for containers that are
	// not privileged and name none; "": the built-in one.
	Seccomp string
	// AppArmor is the profile of containers that are not privileged and name
	// none; "": the host has no AppArmor.
	AppArmor string
}

// User is who process 1 runs as.
type User struct {
	UID, GID   uint32
	Additional []uint32
	Home       string // "": /
}

// Namespaces holds paths of namespaces to join.
type Namespaces struct {
	Net, IPC, PID string
	// User is the path of a user namespace; "": the host's.
	User string
	// NetGiven says that the sandbox gets a descriptor instead of a path.
	NetGiven bool
}

// Device is one device node and what a container may do with it.
type Device struct {
	specs.LinuxDevice
	Access string // "rwm" or a part of it
}

// Blkio holds throttles with resolved device numbers.
type Blkio struct {
	Weight                                 []specs.LinuxWeightDevice
	ReadBps, WriteBps, ReadIOps, WriteIOps []specs.LinuxThrottleDevice
}

// Build makes the specification.
func Build(in *Input) (*specs.Spec, error) {
	sec, err := ParseSecurity(in.Host.SecurityOpt)
	if err != nil {
		return nil, err
	}
	args := slices.Concat(in.Config.Entrypoint, in.Config.Cmd)
	if len(args) == 0 {
		return nil, invalid("no command specified")
	}
	caps, err := Capabilities(in.Host, in.Capabilities)
	if err != nil {
		return nil, err
	}
	limits, err := rlimits(in.Host.Ulimits, in.Ulimits)
	if err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version:     specs.Version,
		Root:        &specs.Root{Path: "rootfs", Readonly: in.Host.ReadonlyRootfs},
		Annotations: in.Host.Annotations,
		Process: &specs.Process{
			Terminal:        in.Config.Tty,
			Args:            args,
			Env:             Env(in),
			Cwd:             WorkingDir(in.Config),
			User:            specs.User{UID: in.User.UID, GID: in.User.GID, AdditionalGids: in.User.Additional, Umask: in.Host.Umask},
			Capabilities:    processCaps(caps, in.User.UID),
			Rlimits:         limits,
			NoNewPrivileges: in.NoNewPrivs,
			OOMScoreAdj:     &in.Host.OomScoreAdj,
		},
		Linux: &specs.Linux{
			Namespaces:    namespaces(in),
			CgroupsPath:   in.CgroupsPath,
			Resources:     resources(in),
			Devices:       nodes(in.Devices),
			Sysctl:        sysctls(in),
			MaskedPaths:   MaskedPaths(in.Host),
			ReadonlyPaths: ReadonlyPaths(in.Host),
		},
	}
	s.Process.ApparmorProfile = AppArmor(sec.AppArmor, in.AppArmor, in.Host.Privileged)
	if sec.NoNewPrivs != nil {
		s.Process.NoNewPrivileges = *sec.NoNewPrivs
	}
	if in.Config.Tty && in.Host.ConsoleSize != [2]uint{} {
		s.Process.ConsoleSize = &specs.Box{Height: in.Host.ConsoleSize[0], Width: in.Host.ConsoleSize[1]}
	}
	if !in.Host.UTSMode.IsHost() {
		s.Hostname, s.Domainname = in.Config.Hostname, in.Config.Domainname
	}
	s.Mounts = mounts(in, sec.WritableCgroups)
	s.Linux.RootfsPropagation = rootPropagation(in.Mounts)
	s.Linux.Seccomp, err = seccompProfile(sec.Seccomp, in.Seccomp, in.Host.Privileged, s)
	return s, err
}

// WorkingDir is the directory that process 1 starts in.
func WorkingDir(c *container.Config) string { return path.Clean("/" + c.WorkingDir) }

// Env is the environment of process 1: the engine's variables, which the
// configuration overrides.
func Env(in *Input) []string {
	return environment(in.Config, in.Config.Tty, slices.Concat(in.LinkEnv, in.Config.Env), in.User.Home)
}

func environment(c *container.Config, tty bool, vars []string, home string) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if c.Hostname != "" {
		env = append(env, "HOSTNAME="+c.Hostname)
	}
	if tty {
		env = append(env, "TERM=xterm")
	}
	env = override(env, vars)
	if home == "" {
		home = "/"
	}
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		env = append(env, "HOME="+home)
	}
	return env
}

// override puts vars into env; a word without "=" removes the variable.
func override(env, vars []string) []string {
	for _, v := range vars {
		key, _, set := strings.Cut(v, "=")
		i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
		switch {
		case i >= 0 && set:
			env[i] = v
		case i >= 0:
			env = slices.Delete(env, i, i+1)
		case set:
			env = append(env, v)
		}
	}
	return env
}

func namespaces(in *Input) []specs.LinuxNamespace {
	h := in.Host
	ns := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	add := func(t specs.LinuxNamespaceType, path string) {
		ns = append(ns, specs.LinuxNamespace{Type: t, Path: path})
	}
	if !h.NetworkMode.IsHost() || in.Namespaces.NetGiven {
		add(specs.NetworkNamespace, in.Namespaces.Net)
	}
	if !h.UTSMode.IsHost() {
		add(specs.UTSNamespace, "")
	}
	if !h.PidMode.IsHost() {
		add(specs.PIDNamespace, in.Namespaces.PID)
	}
	if !h.IpcMode.IsHost() {
		add(specs.IPCNamespace, in.Namespaces.IPC)
	}
	if !h.CgroupnsMode.IsHost() {
		add(specs.CgroupNamespace, "")
	}
	if in.Namespaces.User != "" {
		add(specs.UserNamespace, in.Namespaces.User)
	}
	return ns
}

// sysctls adds to the request's what lets programs without privileges ping
// and use low ports: they have a network of their own.
func sysctls(in *Input) map[string]string {
	all := map[string]string{}
	if !in.Host.NetworkMode.IsHost() && !in.Host.NetworkMode.IsContainer() {
		all["net.ipv4.ip_unprivileged_port_start"] = "0"
		// A user namespace knows no group of the upper end.
		if !in.Host.Privileged && in.Namespaces.User == "" {
			all["net.ipv4.ping_group_range"] = "0 2147483647"
		}
	}
	maps.Copy(all, in.Host.Sysctls)
	return all
}

func rlimits(asked []*container.Ulimit, defaults map[string]*container.Ulimit) ([]specs.POSIXRlimit, error) {
	byName := map[string]*container.Ulimit{}
	maps.Copy(byName, defaults)
	for _, u := range asked {
		byName[u.Name] = u
	}
	var out []specs.POSIXRlimit
	for name, u := range byName {
		if _, err := u.GetRlimit(); err != nil {
			return nil, invalid("invalid ulimit type: %s", name)
		}
		if u.Hard != -1 && (u.Soft == -1 || u.Soft > u.Hard) {
			return nil, invalid("ulimit soft limit must be less than or equal to hard limit: %d > %d",
				u.Soft, u.Hard)
		}
		out = append(out, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: uint64(u.Soft), Hard: uint64(u.Hard)})
	}
	slices.SortFunc(out, func(a, b specs.POSIXRlimit) int { return strings.Compare(a.Type, b.Type) })
	return out, nil
}
