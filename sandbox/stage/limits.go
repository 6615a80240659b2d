package stage

import (
	"fmt"
	"os"
	"slices"

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

// raiseLimits lets the program have more of something than this process, while that
// is still allowed. To have less comes last (setLimits): until then, this process
// needs descriptors, memory and threads.
func (s *setup) raiseLimits() error {
	return eachLimit(s.Spec.Process.Rlimits, func(n int, l *specs.POSIXRlimit) error {
		most, err := task.RaiseLimit(0, n, l.Hard)
		if err == nil && most < l.Hard {
			s.warn("%s is above what this host allows and was set in part", limitText(l))
			l.Soft, l.Hard = min(l.Soft, most), most
		}
		return err
	})
}

// raiseLimits is setup.raiseLimits by the parent, for a stage in a user namespace, where
// nobody has that right. What the host does not allow, the stage warns of.
func (p *Process) raiseLimits(limits []specs.POSIXRlimit) error {
	return eachLimit(limits, func(n int, l *specs.POSIXRlimit) error {
		_, err := task.RaiseLimit(p.Pid, n, l.Hard)
		return err
	})
}

// raiseLimitsOf raises the limits of an order.
func (p *Process) raiseLimitsOf(f *os.File) error {
	text, err := readAll(f)
	if err != nil {
		return err
	}
	var o order
	if err := decode(text, o.describe); err != nil {
		return err
	}
	return p.raiseLimits(o.Spec.Process.Rlimits)
}

// setLimits sets them, and the limit of open files that came as arguments where they
// have none. No right is needed for that any more.
func (s *setup) setLimits() error {
	files := unix.Rlimit{Cur: uint64(s.args[1]), Max: uint64(s.args[2])}
	err := eachLimit(s.Spec.Process.Rlimits, func(n int, l *specs.POSIXRlimit) error {
		if n == unix.RLIMIT_NOFILE {
			files.Max = 0
		}
		return unix.Setrlimit(n, &unix.Rlimit{Cur: l.Soft, Max: l.Hard})
	})
	if err == nil && files.Max > 0 {
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &files)
	}
	return err
}

func eachLimit(limits []specs.POSIXRlimit, do func(n int, l *specs.POSIXRlimit) error) error {
	for i := range limits {
		n, err := limitNumbers.number("rlimit type", limits[i].Type)
		if err == nil {
			err = do(int(n), &limits[i])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", limitText(&limits[i]), err)
		}
	}
	return nil
}

func limitText(l *specs.POSIXRlimit) string { return fmt.Sprint(l.Type, " ", l.Soft, ":", l.Hard) }

// limitsFirst tells whether the limits must be there before the filter is loaded,
// since that may forbid to set them.
func limitsFirst(spec *specs.Spec) bool {
	p := spec.Linux.Seccomp
	if p == nil {
		return false
	}
	allows := func(a specs.LinuxSeccompAction) bool { return a == specs.ActAllow || a == specs.ActLog }
	allowed := allows(p.DefaultAction)
	for _, rule := range p.Syscalls {
		if !slices.Contains(rule.Names, "prlimit64") {
			continue
		}
		if !allows(rule.Action) {
			return true
		}
		allowed = allowed || len(rule.Args) == 0
	}
	return !allowed
}

// leastNofile is what --init needs: three streams, the way to report that the command
// cannot be executed, the two ends of a pipe to hear of that, and one that Go leaves
// when it raises the soft limit.
const leastNofile = 7

// validateReaper refuses limits under which the reaper could not run the command.
func validateReaper(c *Config) error {
	for _, l := range c.Spec.Process.Rlimits {
		if c.Reaper && l.Type == "RLIMIT_NOFILE" && l.Hard < leastNofile {
			return invalid("rlimit %s: with an init process, the hard limit must be %d or more, not %d", l.Type, leastNofile, l.Hard)
		}
	}
	return nil
}
