package seccomp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// verdict is what happens to a system call: the first rule whose conditions
// all hold decides; without one, otherwise does.
type verdict struct {
	rules     []rule
	otherwise uint32 // SECCOMP_RET_…
}

type rule struct {
	conditions []specs.LinuxSeccompArg
	action     uint32
}

func (v *verdict) constant() bool { return len(v.rules) == 0 }

// action returns the filter's return value.
func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		data = uint32(*errno)
		if *errno > 0xffff {
			return 0, fmt.Errorf("seccomp errno %d: %w", *errno, errdefs.ErrInvalidArgument)
		}
		if a != specs.ActErrno && a != specs.ActTrace {
			return 0, fmt.Errorf("seccomp action %s takes no errno: %w", a, errdefs.ErrInvalidArgument)
		}
	}
	switch a {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActNotify:
		return unix.SECCOMP_RET_USER_NOTIF, nil
	}
	return 0, fmt.Errorf("seccomp action %q: %w", a, errdefs.ErrInvalidArgument)
}

// resolved is a profile with its rules by name.
type resolved struct {
	profile  *specs.LinuxSeccomp
	verdicts map[string]*verdict
	named    map[string]bool // calls that have a rule, whatever it says
	fallback uint32
	stub     bool // answer newer calls with ENOSYS
}

func resolve(p *specs.LinuxSeccomp) (*resolved, error) {
	r := &resolved{profile: p, verdicts: map[string]*verdict{}, named: map[string]bool{}}
	var err error
	if r.fallback, err = action(p.DefaultAction, p.DefaultErrnoRet); err != nil {
		return nil, err
	}
	r.stub = p.DefaultAction != specs.ActAllow && p.DefaultAction != specs.ActLog
	if err := checkNotify(p); err != nil {
		return nil, err
	}
	for _, a := range p.Architectures {
		if !slices.Contains(known, a) {
			return nil, fmt.Errorf("seccomp architecture %q: %w", a, errdefs.ErrInvalidArgument)
		}
	}
	for _, f := range p.Flags {
		switch f {
		case specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv,
			"SECCOMP_FILTER_FLAG_TSYNC":
		default:
			return nil, fmt.Errorf("seccomp flag %q: %w", f, errdefs.ErrInvalidArgument)
		}
	}
	for i := range p.Syscalls {
		if err := r.add(&p.Syscalls[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// checkNotify refuses notifications that could not work.
func checkNotify(p *specs.LinuxSeccomp) error {
	if p.DefaultAction == specs.ActNotify {
		return fmt.Errorf("seccomp: SCMP_ACT_NOTIFY cannot be used as default action: %w", errdefs.ErrInvalidArgument)
	}
	if p.ListenerMetadata != "" && p.ListenerPath == "" {
		return fmt.Errorf("seccomp: listenerMetadata without listenerPath: %w", errdefs.ErrInvalidArgument)
	}
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		if s.Action != specs.ActNotify {
			continue
		}
		if p.ListenerPath == "" {
			return fmt.Errorf("seccomp: SCMP_ACT_NOTIFY needs a listenerPath: %w", errdefs.ErrInvalidArgument)
		}
		// Nobody listens yet when the process under the filter makes them: it
		// passes the listener on with the one and reports with the other.
		for _, name := range []string{"sendmsg", "write"} {
			if slices.Contains(s.Names, name) {
				return fmt.Errorf("seccomp: SCMP_ACT_NOTIFY cannot be used for the %s syscall: %w", name, errdefs.ErrInvalidArgument)
			}
		}
	}
	return nil
}

func (r *resolved) add(s *specs.LinuxSyscall) error {
	act, err := action(s.Action, s.ErrnoRet)
	if err != nil {
		return err
	}
	if len(s.Names) == 0 {
		return fmt.Errorf("seccomp: a rule for %s names no system call: %w", s.Action, errdefs.ErrInvalidArgument)
	}
	for _, c := range s.Args {
		if c.Index > 5 {
			return fmt.Errorf("seccomp argument %d: %w", c.Index, errdefs.ErrInvalidArgument)
		}
		if !slices.Contains(operators, c.Op) {
			return fmt.Errorf("seccomp operator %q: %w", c.Op, errdefs.ErrInvalidArgument)
		}
	}
	for _, name := range s.Names {
		r.named[name] = true
		if act == r.fallback {
			continue
		}
		v := r.verdicts[name]
		if v == nil {
			v = &verdict{otherwise: r.fallback}
			r.verdicts[name] = v
		}
		switch {
		case v.constant() && v.otherwise != r.fallback: // the unconditional rule stays
		case len(s.Args) == 0:
			v.rules, v.otherwise = nil, act
		case twice(s.Args):
			for _, c := range s.Args {
				v.rules = append(v.rules, rule{[]specs.LinuxSeccompArg{c}, act})
			}
		default:
			v.rules = append(v.rules, rule{s.Args, act})
		}
	}
	return nil
}

// twice tells whether two conditions are on the same argument.
func twice(args []specs.LinuxSeccompArg) bool {
	var seen [6]bool
	for _, a := range args {
		if seen[a.Index] {
			return true
		}
		seen[a.Index] = true
	}
	return false
}

// enabled tells whether calls of this architecture are let through to the
// rules.
func (r *resolved) enabled(a specs.Arch) bool {
	return a == native || slices.Contains(r.profile.Architectures, a)
}

// step is an interval of numbers, up to the next one's first.
type step struct {
	first   uint32
	verdict *verdict
	narrow  bool // arguments have 32 bits
}

// ladder is a list of intervals being built, ascending.
type ladder []step

// put starts an interval. It replaces an empty one and continues one with the
// same constant action.
func (l *ladder) put(first uint32, v *verdict, narrow bool) {
	s := *l
	if n := len(s); n > 0 && s[n-1].first == first {
		s = s[:n-1]
	}
	if n := len(s); n == 0 || !v.constant() || !s[n-1].verdict.constant() || s[n-1].verdict.otherwise != v.otherwise {
		s = append(s, step{first, v, narrow})
	}
	*l = s
}

const retENOSYS = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)

// steps cuts the numbers of an ABI into intervals.
func (r *resolved) steps(a *abi) []step {
	fallback := &verdict{otherwise: r.fallback}
	kill := &verdict{otherwise: stranger}
	enosys := &verdict{otherwise: retENOSYS}
	var l ladder
	for i := range a.spaces {
		s := &a.spaces[i]
		if !r.enabled(s.arch) {
			l.put(s.first, kill, false)
			continue
		}
		l.put(s.first, fallback, false)
		numbers := r.numbers(s)
		split, _ := slices.BinarySearchFunc(numbers, s.limit, func(e step, limit uint32) int {
			if e.first <= limit {
				return -1
			}
			return 1
		})
		around := fallback
		add := func(numbers []step) {
			for _, e := range numbers {
				l.put(e.first, e.verdict, s.narrow)
				l.put(e.first+1, around, false)
			}
		}
		newer := split
		if last, any := r.last(s); any && r.stub {
			for newer > 0 && numbers[newer-1].first > last { // multiplexers
				newer--
			}
			add(numbers[:newer])
			around = enosys
			l.put(last+1, around, false)
		} else {
			newer = 0
		}
		add(numbers[newer:split])
		around = fallback
		if s.limit != 1<<32-1 {
			l.put(s.limit+1, around, false)
		}
		add(numbers[split:])
	}
	return l
}

// numbers returns the calls that have rules, ascending.
func (r *resolved) numbers(s *space) []step {
	var out []step
	verdicts := r.verdicts
	if len(s.several) > 0 {
		verdicts = maps.Clone(verdicts)
		for i := range s.several {
			r.multiplexed(s, &s.several[i], verdicts)
		}
	}
	for name, v := range verdicts {
		if nr, ok := s.table.lookup(name); ok {
			out = append(out, step{first: nr, verdict: v})
		}
	}
	slices.SortFunc(out, func(a, b step) int { return cmp.Compare(a.first, b.first) })
	return out
}

// last returns the newest call that the profile names at all.
func (r *resolved) last(s *space) (last uint32, any bool) {
	for i := range r.profile.Syscalls {
		for _, name := range r.profile.Syscalls[i].Names {
			if nr, ok := s.table.lookup(name); ok && nr <= s.limit {
				last, any = max(last, nr), true
			}
		}
	}
	return last, any
}
