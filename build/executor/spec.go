package executor

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	bkexecutor "github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/container/apparmor"
	"github.com/berth-engine/berth/container/spec"
)

// specify makes the specification of a step as that of a container that asks for
// the same.
func (x *Executor) specify(s *step, meta bkexecutor.Meta, stdin bool, mounts []specs.Mount, ns *os.File) (*specs.Spec, error) {
	user, err := spec.ResolveUser(s.root, meta.User, nil)
	if err != nil {
		return nil, err
	}
	host := &container.HostConfig{
		ReadonlyRootfs: meta.ReadonlyRootFS, Privileged: meta.SecurityMode == pb.SecurityMode_INSECURE,
		CgroupnsMode: container.CgroupnsModePrivate,
	}
	if meta.NetMode == pb.NetMode_HOST {
		host.NetworkMode = "host"
	}
	for _, u := range meta.Ulimit {
		host.Ulimits = append(host.Ulimits, &container.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	limit(host, meta.LinuxResources)
	in := &spec.Input{
		ID: s.id, User: user, Host: host, Mounts: mounts, Capabilities: x.o.Capabilities,
		Config: &container.Config{
			Hostname: meta.Hostname, Env: meta.Env, Cmd: meta.Args, WorkingDir: meta.Cwd, Tty: meta.Tty,
			AttachStdin: stdin, OpenStdin: stdin, StdinOnce: stdin,
		},
	}
	if x.o.AppArmor != nil {
		if err := x.o.AppArmor.Ensure(); err != nil {
			return nil, err
		}
		in.AppArmor = apparmor.Name
	}
	in.Namespaces.NetGiven = ns != nil
	if user := x.o.Remap.namespace(); user != nil {
		in.Namespaces.User = descriptorPath(user)
	}
	if _, err := os.Stat("/dev/mqueue"); err != nil {
		in.NoMqueue = true
	}
	parent := x.o.CgroupParent
	if meta.CgroupParent != "" {
		parent = meta.CgroupParent
	}
	if parent != "" {
		in.CgroupsPath = path.Join("/", parent, s.id)
	}
	out, err := spec.Build(in)
	if err != nil {
		return nil, err
	}
	// The environment is the build's, not a container's: what a step sees must not
	// depend on the machine, or its result would.
	out.Process.Env = meta.Env
	if !slices.ContainsFunc(meta.Env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		out.Process.Env = append(slices.Clone(meta.Env), "HOME="+cmp.Or(user.Home, "/"))
	}
	if len(meta.CDIDevices) > 0 {
		if err := x.o.Devices.InjectDevices(out, meta.CDIDevices...); err != nil {
			return nil, fmt.Errorf("devices of a build step: %w", err)
		}
	}
	return out, nil
}

// limit takes over a build's limits (--cpu-quota, --memory, …).
func limit(host *container.HostConfig, r *pb.LinuxResources) {
	if r == nil {
		return
	}
	host.Memory, host.MemorySwap = r.GetMemory(), r.GetMemorySwap()
	host.CPUShares, host.CPUPeriod, host.CPUQuota = int64(r.GetCpuShares()), int64(r.GetCpuPeriod()), r.GetCpuQuota() //nolint:gosec // the kernel refuses what is too much
	host.CpusetCpus, host.CpusetMems = r.GetCpusetCpus(), r.GetCpusetMems()
}
