package stage

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestLimitsFirst: limits wait for the last moment only if the filter lets them.
func TestLimitsFirst(t *testing.T) {
	rule := func(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"read", "prlimit64"}, Action: action, Args: args}
	}
	other := specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActKillProcess}
	some := specs.LinuxSeccompArg{Index: 0, Value: 0, Op: specs.OpEqualTo}
	for _, tc := range []struct {
		what    string
		action  specs.LinuxSeccompAction
		rules   []specs.LinuxSyscall
		isFirst bool
	}{
		{"all are allowed", specs.ActAllow, nil, false},
		{"another is forbidden", specs.ActAllow, []specs.LinuxSyscall{other}, false},
		{"all are logged", specs.ActLog, nil, false},
		{"all are forbidden", specs.ActErrno, nil, true},
		{"it is allowed", specs.ActErrno, []specs.LinuxSyscall{other, rule(specs.ActAllow)}, false},
		{"it is forbidden", specs.ActAllow, []specs.LinuxSyscall{rule(specs.ActErrno)}, true},
		{"it is forbidden for some", specs.ActAllow, []specs.LinuxSyscall{rule(specs.ActKillThread, some)}, true},
		{"it is allowed for some", specs.ActErrno, []specs.LinuxSyscall{rule(specs.ActAllow, some)}, true},
		{"an agent is asked", specs.ActAllow, []specs.LinuxSyscall{rule(specs.ActNotify)}, true},
	} {
		spec := defaultSpec("/probe")
		spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: tc.action, Syscalls: tc.rules}
		if got := limitsFirst(spec); got != tc.isFirst {
			t.Errorf("%s: first %v", tc.what, got)
		}
	}
	if limitsFirst(defaultSpec("/probe")) {
		t.Error("first, without a filter")
	}
}

// TestReaperNeedsFiles: --init works with the fewest descriptors that it can, and says
// how many that are.
func TestReaperNeedsFiles(t *testing.T) {
	box := func(soft, hard uint64) *box {
		spec := defaultSpec("/probe", "exit", "7")
		spec.Process.Rlimits = []specs.POSIXRlimit{specsLimit("RLIMIT_NOFILE", soft, hard)}
		b := newBox(t, spec)
		b.config.Reaper = true
		return b
	}
	for _, soft := range []uint64{3, leastNofile} {
		if out, code := box(soft, leastNofile).run(); code != 7 {
			t.Errorf("%d: exit %d: %s", soft, code, out)
		}
	}
	if err := box(3, leastNofile-1).spawn(); err == nil || !strings.Contains(err.Error(), "the hard limit must be 7 or more, not 6") {
		t.Errorf("%v", err)
	}
}
