package stage

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var policies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: unix.SCHED_NORMAL, specs.SchedFIFO: unix.SCHED_FIFO, specs.SchedRR: unix.SCHED_RR,
	specs.SchedBatch: unix.SCHED_BATCH, specs.SchedISO: 4, specs.SchedIdle: unix.SCHED_IDLE, specs.SchedDeadline: unix.SCHED_DEADLINE,
}

var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: unix.SCHED_FLAG_RESET_ON_FORK, specs.SchedFlagReclaim: unix.SCHED_FLAG_RECLAIM,
	specs.SchedFlagDLOverrun: unix.SCHED_FLAG_DL_OVERRUN, specs.SchedFlagKeepPolicy: unix.SCHED_FLAG_KEEP_POLICY,
	specs.SchedFlagKeepParams: unix.SCHED_FLAG_KEEP_PARAMS, specs.SchedFlagUtilClampMin: unix.SCHED_FLAG_UTIL_CLAMP_MIN,
	specs.SchedFlagUtilClampMax: unix.SCHED_FLAG_UTIL_CLAMP_MAX,
}

var ioClasses = map[specs.IOPriorityClass]int{
	specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3,
}

// scheduling translates a scheduler for the kernel.
func scheduling(s *specs.Scheduler) (unix.SchedAttr, error) {
	policy, ok := policies[s.Policy]
	a := unix.SchedAttr{
		Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	nice := s.Policy == specs.SchedOther || s.Policy == specs.SchedBatch
	switch {
	case !ok:
		return a, invalid("scheduler policy %q is not one of %v", s.Policy, slices.Sorted(maps.Keys(policies)))
	case nice && (s.Nice < -20 || s.Nice > 19):
		return a, invalid("scheduler nice %d is not between -20 and 19", s.Nice)
	case s.Priority != 0 && s.Policy != specs.SchedFIFO && s.Policy != specs.SchedRR:
		return a, invalid("scheduler priority is for SCHED_FIFO and SCHED_RR, not for %s", s.Policy)
	case s.Policy != specs.SchedDeadline && s.Runtime|s.Deadline|s.Period != 0:
		return a, invalid("scheduler runtime, deadline and period are for SCHED_DEADLINE, not for %s", s.Policy)
	}
	for _, f := range s.Flags {
		bit, ok := schedulerFlags[f]
		if !ok {
			return a, invalid("scheduler flag %q is unknown", f)
		}
		a.Flags |= bit
	}
	return a, nil
}

func validateIOPriority(p *specs.LinuxIOPriority) error {
	if ioClasses[p.Class] == 0 {
		return invalid("I/O priority class %q is not one of %v", p.Class, slices.Sorted(maps.Keys(ioClasses)))
	}
	if p.Priority < 0 || p.Priority > 7 {
		return invalid("I/O priority %d is not between 0 and 7", p.Priority)
	}
	return nil
}

// validateScheduling checks what a process asks for; schedule applies it.
func validateScheduling(p *specs.Process) error {
	if p.Scheduler != nil {
		if _, err := scheduling(p.Scheduler); err != nil {
			return err
		}
	}
	if p.IOPriority != nil {
		if err := validateIOPriority(p.IOPriority); err != nil {
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
		if err := task.SetIOPriority(ioClasses[p.IOPriority.Class], p.IOPriority.Priority); err != nil {
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
