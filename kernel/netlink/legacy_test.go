package netlink

import (
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLegacyDrops compares with what iptables-legacy was told.
func TestLegacyDrops(t *testing.T) {
	if _, err := exec.LookPath("iptables-legacy"); err != nil {
		t.Skip("no legacy iptables on this machine")
	}
	runtime.LockOSThread() // never unlocked: the thread is thrown away
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	expect := func(input, forward bool) {
		t.Helper()
		if i, f := LegacyDrops(); i != input || f != forward {
			t.Errorf("input %v, forward %v; want %v, %v", i, f, input, forward)
		}
	}
	set := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "iptables-legacy", append([]string{"-w"}, args...)...).CombinedOutput(); err != nil {
			t.Skipf("no legacy iptables in this kernel: %s", out)
		}
	}
	expect(false, false)
	set("-P", "FORWARD", "DROP")
	expect(false, true)
	set("-A", "FORWARD", "-s", "10.0.0.0/8", "-j", "ACCEPT")
	set("-P", "INPUT", "DROP")
	expect(true, true)
	set("-P", "FORWARD", "ACCEPT")
	expect(true, false)
}
