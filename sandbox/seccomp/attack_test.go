package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A profile for this machine's own calls lets no program in by another way,
// where the same numbers mean other calls.
func TestAttackForeignABI(t *testing.T) {
	filter, err := compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: []specs.Arch{native},
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"bpf"}, Action: specs.ActErrno}},
	})
	if err != nil {
		t.Fatal(err)
	}
	vm := machine(t, filter)
	for _, a := range abis[1:] {
		if got := run(t, vm, data{number: 1, arch: a.audit}); got != unix.SECCOMP_RET_KILL_PROCESS {
			t.Errorf("%#x: %#x", a.audit, got)
		}
	}
	if got := run(t, vm, data{number: 1, arch: 0x12345}); got != unix.SECCOMP_RET_KILL_PROCESS {
		t.Errorf("an unknown architecture: %#x", got)
	}
}

// What the filter stops by a call's arguments cannot be had by the call that
// hides them behind a pointer (CVE-2026-31431 by socketcall).
func TestAttackDetour(t *testing.T) {
	if len(abis) < 2 {
		return // only amd64 has a second table
	}
	filter, err := compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"socketcall", "bind"}, Action: specs.ActAllow},
			{Names: []string{"socket"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: unix.AF_ALG, Op: specs.OpNotEqual}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const socketcall, socket, bind = 102, 1, 2
	vm := machine(t, filter)
	i386 := uint32(unix.AUDIT_ARCH_I386)
	if got := run(t, vm, data{socketcall, i386, [6]uint64{socket}}); got == unix.SECCOMP_RET_ALLOW {
		t.Error("socketcall makes any socket")
	}
	if got := run(t, vm, data{socketcall, i386, [6]uint64{bind}}); got != unix.SECCOMP_RET_ALLOW {
		t.Errorf("bind: %#x", got)
	}
}
