package conformance

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// TestFeatures is features.md and features-linux.md: what a runtime says of
// itself must be so.
func TestFeatures(t *testing.T) {
	b := newBox(t)
	out, err := b.do("features")
	check(t, err)
	var f features.Features
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("no property that is not in the specification: %v", err)
	}
	if f.OCIVersionMin == "" || f.OCIVersionMax == "" || f.Linux == nil {
		t.Fatalf("incomplete: %s", out)
	}
	var rows []must
	for _, v := range []string{f.OCIVersionMin, f.OCIVersionMax} {
		rows = append(rows, must{"features.md#specification-version", v + " is taken", accepted(func(s *specs.Spec) { s.Version = v })})
	}
	if semver(f.OCIVersionMax) < semver(f.OCIVersionMin) {
		t.Errorf("at most %s is less than at least %s", f.OCIVersionMax, f.OCIVersionMin)
	}
	for _, kind := range f.Linux.Namespaces {
		edits := []edit{with(specs.LinuxNamespaceType(kind), "")}
		if kind == string(specs.UserNamespace) {
			edits = append(edits, mapped)
		}
		rows = append(rows, must{"features-linux.md#namespaces", kind + " is recognised", accepted(edits...)})
	}
	for _, step := range f.Hooks {
		rows = append(rows, must{"features.md#hooks", step + " is supported", accepted(func(s *specs.Spec) {
			h := hook("true")
			if step == "startContainer" {
				h.Path = "/bin/sh"
			}
			add(s, step, h)
		})})
	}
	for _, option := range f.MountOptions {
		switch option {
		case "remount", "bind", "rbind", "idmap", "ridmap", "tmpcopyup": // TestMounts
			continue
		}
		rows = append(rows, must{"features.md#mount-options", option + " is recognised", accepted(mounts("/mnt", "tmpfs", "tmpfs", option))})
	}
	for _, c := range f.Linux.Capabilities {
		rows = append(rows, must{"features-linux.md#capabilities", c + " is recognised", accepted(process(func(p *specs.Process) {
			p.Capabilities = &specs.LinuxCapabilities{Bounding: []string{c}}
		}))})
	}
	if p := f.Linux.MemoryPolicy; p != nil {
		rows = append(rows, policyRows(p)...)
	}
	if s := f.Linux.Seccomp; s != nil {
		for _, a := range s.Actions {
			if a == string(specs.ActNotify) { // TestSeccomp
				continue
			}
			rows = append(rows, must{"features-linux.md#seccomp", a + " is recognised", accepted(seccomp(specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow,
				Syscalls:      []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.LinuxSeccompAction(a)}},
			}))})
		}
		for _, o := range s.Operators {
			rows = append(rows, must{"features-linux.md#seccomp", o + " is recognised", accepted(seccomp(specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow,
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{
					{Index: 1, Value: 0o7, ValueTwo: 0o7, Op: specs.LinuxSeccompOperator(o)},
				}}},
			}))})
		}
		for _, arch := range s.Archs {
			rows = append(rows, must{"features-linux.md#seccomp", arch + " is recognised", accepted(seccomp(specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.Arch(arch)},
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}},
			}))})
		}
		for _, flag := range s.SupportedFlags {
			rows = append(rows, must{"features-linux.md#seccomp", flag + " is supported", accepted(seccomp(specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(flag)},
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}},
			}))})
		}
	}
	hold(t, rows)
}

// semver orders versions below 1000 in each part.
func semver(v string) (n int) {
	for part := range strings.SplitSeq(v, ".") {
		digits, _, _ := strings.Cut(part, "-")
		i, _ := strconv.Atoi(digits)
		n = n*1000 + i
	}
	return n
}

// policyRows has what the runtime recognises of memory policies. The kernel may
// not have one of them, which the runtime must not call unknown.
func policyRows(p *features.MemoryPolicy) (rows []must) {
	recognised := func(policy specs.LinuxMemoryPolicy, name string) func(*testing.T) {
		return func(t *testing.T) {
			err := newBox(t, memoryPolicy(policy)).create()
			if err != nil && (strings.Contains(err.Error(), strconv.Quote(name))) {
				t.Error(err)
			}
		}
	}
	for _, mode := range p.Modes {
		nodes := "0"
		if mode == string(specs.MpolDefault) || mode == string(specs.MpolLocal) {
			nodes = ""
		}
		rows = append(rows, must{"features-linux.md#memory-policy", mode + " is recognised", recognised(specs.LinuxMemoryPolicy{Mode: specs.MemoryPolicyModeType(mode), Nodes: nodes}, mode)})
	}
	for _, flag := range p.Flags {
		rows = append(rows, must{"features-linux.md#memory-policy", flag + " is recognised", recognised(specs.LinuxMemoryPolicy{
			Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MemoryPolicyFlagType(flag)},
		}, flag)})
	}
	return rows
}
