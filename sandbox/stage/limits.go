package stage

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// limitNumbers are all that getrlimit(2) knows.
var limitNumbers = words{
	{"RLIMIT_AS", unix.RLIMIT_AS},
	{"RLIMIT_CORE", unix.RLIMIT_CORE},
	{"RLIMIT_CPU", unix.RLIMIT_CPU},
	{"RLIMIT_DATA", unix.RLIMIT_DATA},
	{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", unix.RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", unix.RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", unix.RLIMIT_NICE},
	{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE},
	{"RLIMIT_NPROC", unix.RLIMIT_NPROC},
	{"RLIMIT_RSS", unix.RLIMIT_RSS},
	{"RLIMIT_RTPRIO", unix.RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", unix.RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", unix.RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", unix.RLIMIT_STACK},
}

func validateLimits(limits []specs.POSIXRlimit) error {
	var seen uint64
	for _, l := range limits {
		n, err := limitNumbers.number("rlimit type", l.Type)
		switch {
		case err != nil:
			return err
		case seen&(1<<n) != 0:
			return invalid("rlimit %s is listed twice", l.Type)
		case l.Soft > l.Hard:
			return invalid("rlimit %s: the soft limit %d is above the hard limit %d", l.Type, l.Soft, l.Hard)
		}
		seen |= 1 << n
	}
	return nil
}

// limits sets resource limits while raising them is still allowed.
func (s *setup) limits() error {
	for _, l := range s.Spec.Process.Rlimits {
		n, err := limitNumbers.number("rlimit type", l.Type)
		if err != nil {
			return err
		}
		capped, err := task.SetLimit(int(n), l.Soft, l.Hard)
		if err != nil {
			return fmt.Errorf("%s %d:%d: %w", l.Type, l.Soft, l.Hard, err)
		}
		if capped {
			s.warn("%s %d:%d is above what this host allows and was set in part", l.Type, l.Soft, l.Hard)
		}
	}
	return nil
}
