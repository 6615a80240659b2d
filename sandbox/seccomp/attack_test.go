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
