package lifecycle

import (
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/hook"
	"github.com/berth-engine/berth/sandbox/seccomp"
	"github.com/berth-engine/berth/sandbox/stage"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features says what a configuration may ask for (features.md of the OCI
// specification). The lists are those that decide elsewhere.
func Features() *features.Features {
	yes, no := true, false
	filters := seccomp.Lists()
	modes, flags := stage.KnownMemoryPolicies()
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         texts(hook.Kinds),
		MountOptions:  stage.KnownMountOptions(),
		Linux: &features.Linux{
			Namespaces:   stage.KnownNamespaces(),
			Capabilities: task.KnownCaps(),
			Cgroup:       &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &no, Rdma: &yes},
			Seccomp: &features.Seccomp{
				Enabled: &yes, Actions: texts(filters.Actions), Operators: texts(filters.Operators),
				Archs: texts(filters.Archs), KnownFlags: texts(filters.Flags), SupportedFlags: texts(filters.Flags),
			},
			Apparmor:        &features.Apparmor{Enabled: &yes},
			Selinux:         &features.Selinux{Enabled: &yes},
			NetDevices:      &features.NetDevices{Enabled: &yes},
			MemoryPolicy:    &features.MemoryPolicy{Modes: modes, Flags: flags},
			IntelRdt:        &features.IntelRdt{Enabled: &no},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
		},
		// Set to nothing, it has criu read no configuration (criuConfig).
		PotentiallyUnsafeConfigAnnotations: []string{criuAnnotation},
	}
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
