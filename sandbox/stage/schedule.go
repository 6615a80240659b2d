package stage

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var policies = words{
	{"SCHED_OTHER", unix.SCHED_NORMAL},
	{"SCHED_FIFO", unix.SCHED_FIFO},
	{"SCHED_RR", unix.SCHED_RR},
	{"SCHED_BATCH", unix.SCHED_BATCH},
	{"SCHED_ISO", 4},
	{"SCHED_IDLE", unix.SCHED_IDLE},
	{"SCHED_DEADLINE", unix.SCHED_DEADLINE},
}

var schedulerFlags = words{
	{"SCHED_FLAG_RESET_ON_FORK", unix.SCHED_FLAG_RESET_ON_FORK},
	{"SCHED_FLAG_RECLAIM", unix.SCHED_FLAG_RECLAIM},
	{"SCHED_FLAG_DL_OVERRUN", unix.SCHED_FLAG_DL_OVERRUN},
	{"SCHED_FLAG_KEEP_POLICY", unix.SCHED_FLAG_KEEP_POLICY},
	{"SCHED_FLAG_KEEP_PARAMS", unix.SCHED_FLAG_KEEP_PARAMS},
	{"SCHED_FLAG_UTIL_CLAMP_MIN", unix.SCHED_FLAG_UTIL_CLAMP_MIN},
	{"SCHED_FLAG_UTIL_CLAMP_MAX", unix.SCHED_FLAG_UTIL_CLAMP_MAX},
}

var ioClasses = words{{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}}

// scheduling translates a scheduler for the kernel.
func scheduling(s *specs.Scheduler) (a unix.SchedAttr, err error) {
	policy, err := policies.number("scheduler policy", string(s.Policy))
	if err != nil {
		return a, err
	}
	a = unix.SchedAttr{
		Policy: uint32(policy), Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	nice := s.Policy == specs.SchedOther || s.Policy == specs.SchedBatch
	switch {
	case nice && (s.Nice < -20 || s.Nice > 19):
		return a, invalid("scheduler nice %d is not between -20 and 19", s.Nice)
	case s.Priority != 0 && s.Policy != specs.SchedFIFO && s.Policy != specs.SchedRR:
		return a, invalid("scheduler priority is for SCHED_FIFO and SCHED_RR, not for %s", s.Policy)
	case s.Policy != specs.SchedDeadline && s.Runtime|s.Deadline|s.Period != 0:
		return a, invalid("scheduler runtime, deadline and period are for SCHED_DEADLINE, not for %s", s.Policy)
	}
	for _, f := range s.Flags {
		bit, err := schedulerFlags.number("scheduler flag", string(f))
		if err != nil {
			return a, err
		}
		a.Flags |= bit
	}
	return a, nil
}

// ioPriority returns the number of the class.
func ioPriority(p *specs.LinuxIOPriority) (class int, err error) {
	n, err := ioClasses.number("I/O priority class", string(p.Class))
	if err == nil && (p.Priority < 0 || p.Priority > 7) {
		err = invalid("I/O priority %d is not between 0 and 7", p.Priority)
	}
	return int(n), err
}

// validateScheduling checks what a process asks for; schedule applies it.
func validateScheduling(p *specs.Process) error {
	if p.Scheduler != nil {
		if _, err := scheduling(p.Scheduler); err != nil {
			return err
		}
	}
	if p.IOPriority != nil {
		if _, err := ioPriority(p.IOPriority); err != nil {
			return err
		}
	}
	if a := p.ExecCPUAffinity; a != nil {
		for _, list := range []string{a.Initial, a.Final} {
			if _, err := numbers(list); err != nil {
				return invalid("execCPUAffinity: %s", err)
			}
		}
	}
	return nil
}

// processors gives the process all processors of its groups, in which it is: not
// those that its maker was held to, by a service manager or by taskset, as with
// runc. A further process that was given processors to begin with keeps what the
// kernel makes of these, as the specification says.
func (s *setup) processors() error {
	if a := s.Spec.Process.ExecCPUAffinity; s.entered && a != nil && (a.Initial != "" || a.Final != "") {
		return nil
	}
	if err := task.ResetAffinity(); err != nil {
		s.warn("the process keeps the processors of its maker: %v", err)
	}
	return nil
}

// schedule needs rights that the process gives up, and calls that its filter
// may refuse.
func (s *setup) schedule() error {
	p := s.Spec.Process
	if a := p.ExecCPUAffinity; a != nil && a.Final != "" && s.entered { // of no concern to process 1
		cpus, err := numbers(a.Final)
		if err != nil {
			return err
		}
		if err := task.SetAffinity(0, cpus); err != nil {
			return fmt.Errorf("execCPUAffinity %s: %w", a.Final, err)
		}
	}
	if p.IOPriority != nil {
		class, err := ioPriority(p.IOPriority)
		if err != nil {
			return err
		}
		if err := task.SetIOPriority(class, p.IOPriority.Priority); err != nil {
			return fmt.Errorf("I/O priority %s %d: %w", p.IOPriority.Class, p.IOPriority.Priority, err)
		}
	}
	if p.Scheduler != nil {
		a, err := scheduling(p.Scheduler)
		if err != nil {
			return err
		}
		if err := task.Schedule(a); err != nil {
			return fmt.Errorf("scheduler %s: %w", p.Scheduler.Policy, err)
		}
	}
	return s.memoryPolicy()
}

// CPUs reads a list of CPUs like "0-3,7". An empty one is nil.
func CPUs(list string) (*unix.CPUSet, error) {
	cpus, err := numbers(list)
	if err != nil || len(cpus) == 0 {
		return nil, err
	}
	return task.CPUSet(cpus)
}

// maxNumber bounds what a list names; no kernel has as many CPUs or nodes.
const maxNumber = 1 << 16

// numbers reads a list like "0-3,7". An empty one has none.
func numbers(list string) (out []int, err error) {
	if list == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 32)
		last, err2 := strconv.ParseUint(high, 10, 32)
		if err != nil || err2 != nil || first > last || last >= maxNumber {
			return nil, fmt.Errorf("%q is not a list of numbers such as 0-3,7", list)
		}
		for n := first; n <= last; n++ {
			out = append(out, int(n))
		}
	}
	return out, nil
}
