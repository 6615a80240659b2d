package stage

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func invalid(format string, args ...any) error {
	return &InvalidSpecError{fmt.Sprintf(format, args...)}
}

// validate refuses what is contradictory or not done here.
func validate(c *Config, netnsGiven bool) (namespaces, error) {
	spec := c.Spec
	if spec == nil || spec.Process == nil || spec.Linux == nil {
		return namespaces{}, invalid("incomplete spec")
	}
	if err := validateProcess(spec.Process); err != nil {
		return namespaces{}, err
	}
	if err := validateExecution(spec.Linux); err != nil {
		return namespaces{}, err
	}
	if err := validateHidden(spec.Linux); err != nil {
		return namespaces{}, err
	}
	if err := validateHooks(c); err != nil {
		return namespaces{}, err
	}
	if c.Reaper && c.Preserve > 0 {
		return namespaces{}, &NotImplementedError{"descriptors passed through a reaper"}
	}
	if err := validateReaper(c); err != nil {
		return namespaces{}, err
	}
	if err := unimplemented(spec); err != nil {
		return namespaces{}, err
	}
	plan, err := planNamespaces(spec, netnsGiven)
	if err != nil {
		return plan, err
	}
	if err := plan.validateHostMounts(c); err != nil {
		return plan, err
	}
	if err := validateUserNS(spec, plan.user); err != nil {
		return plan, err
	}
	if err := validateTimeNS(spec, plan.time); err != nil {
		return plan, err
	}
	if err := validateMounts(spec, plan.user != nil); err != nil {
		return plan, err
	}
	if (spec.Hostname != "" || spec.Domainname != "") && !plan.owns(unix.CLONE_NEWUTS, false) {
		return plan, invalid("unable to set hostname without a private UTS namespace")
	}
	if err := validateNetDevices(spec, plan, netnsGiven); err != nil {
		return plan, err
	}
	return plan, allowSysctls(spec.Linux.Sysctl, plan, netnsGiven)
}

func validateHidden(l *specs.Linux) error {
	for _, hidden := range slices.Concat(l.MaskedPaths, l.ReadonlyPaths) {
		if !path.IsAbs(hidden) {
			return invalid("the masked or read-only path %q is not absolute", hidden)
		}
	}
	return nil
}

// validateProcess is for process 1 and for those that come later.
func validateProcess(p *specs.Process) error {
	switch {
	case len(p.Args) == 0:
		return invalid("no command specified")
	case !path.IsAbs(p.Cwd):
		return invalid("the working directory %q is not absolute", p.Cwd)
	}
	for _, s := range slices.Concat(p.Args, p.Env, []string{p.Cwd}) {
		if strings.IndexByte(s, 0) >= 0 {
			return invalid("NUL byte in arguments, environment or working directory")
		}
	}
	if err := validateLimits(p.Rlimits); err != nil {
		return err
	}
	if strings.ContainsAny(p.SelinuxLabel+p.ApparmorProfile, "\n\x00") {
		return invalid("a label of more than one line")
	}
	return validateScheduling(p)
}

// validateExecution checks what concerns all processes of a container.
func validateExecution(l *specs.Linux) error {
	if p := l.Personality; p != nil {
		switch {
		case p.Domain != specs.PerLinux && p.Domain != specs.PerLinux32:
			return invalid("unknown personality %q", p.Domain)
		case len(p.Flags) > 0:
			return invalid("personality flags %q: none are supported", p.Flags)
		}
	}
	if l.MemoryPolicy != nil {
		if _, _, err := memoryMode(l.MemoryPolicy); err != nil {
			return err
		}
	}
	return nil
}

// unimplemented refuses Intel RDT, and says by which fields it was asked for: a
// container without what they promise would be worse than none.
func unimplemented(spec *specs.Spec) error {
	r := spec.Linux.IntelRdt
	if r == nil {
		return nil
	}
	var fields []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"closID", r.ClosID != ""},
		{"schemata", len(r.Schemata) > 0},
		{"l3CacheSchema", r.L3CacheSchema != ""},
		{"memBwSchema", r.MemBwSchema != ""},
		{"enableMonitoring", r.EnableMonitoring},
	} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	what := "linux.intelRdt"
	if len(fields) > 0 {
		what += " (" + strings.Join(fields, ", ") + ")"
	}
	return &NotImplementedError{what + ": Intel RDT"}
}

// ipcSysctls are the ones outside of fs.mqueue that belong to the IPC
// namespace.
var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
	"kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

// validateSysctls lets through only what belongs to a namespace that the
// container does not share with the host.
func validateSysctls(sysctls map[string]string, plan namespaces, netnsGiven bool) error {
	for name, value := range sysctls {
		dotted := strings.ReplaceAll(name, "/", ".")
		var need uint64
		switch {
		case strings.ContainsAny(value, "\n\x00"):
			return invalid("sysctl %q: the value has more than one line", name)
		case strings.Contains(dotted, "..") || strings.ContainsAny(name, "\n\x00 "):
			return invalid("sysctl %q: bad name", name)
		case slices.Contains(ipcSysctls, dotted), strings.HasPrefix(dotted, "fs.mqueue."):
			need = unix.CLONE_NEWIPC
		case strings.HasPrefix(dotted, "net."):
			need = unix.CLONE_NEWNET
		case dotted == "kernel.domainname":
			need = unix.CLONE_NEWUTS
		case dotted == "kernel.hostname":
			return invalid("sysctl %q conflicts with the hostname setting", name)
		default:
			return invalid("sysctl %q is not in a separate kernel namespace", name)
		}
		if !plan.owns(need, netnsGiven) {
			return invalid("sysctl %q is not allowed in the host's namespace", name)
		}
	}
	return nil
}
