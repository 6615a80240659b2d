package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Known is what profiles may say, for a list of features.
type Known struct {
	Actions   []specs.LinuxSeccompAction
	Operators []specs.LinuxSeccompOperator
	Archs     []specs.Arch
	Flags     []specs.LinuxSeccompFlag
}

// Lists returns what Compile accepts.
func Lists() Known {
	k := Known{
		Operators: slices.Clone(operators), Archs: slices.Clone(known),
		Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, "SECCOMP_FILTER_FLAG_TSYNC"},
	}
	for _, a := range []specs.LinuxSeccompAction{
		specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActLog, specs.ActNotify, specs.ActTrace, specs.ActTrap,
	} {
		if _, err := action(a, nil); err == nil {
			k.Actions = append(k.Actions, a)
		}
	}
	return k
}
