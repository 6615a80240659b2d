package lifecycle

import (
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/stage"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// debugEntry tells on which processors a further process begins: those that
// execCPUAffinity wants, or ours.
func (r *Root) debugEntry(pid int, initial string) {
	if r.Debug == nil {
		return
	}
	r.debug("nsexec container setup: the process is %d", pid)
	cpus, err := stage.CPUs(initial)
	if err == nil && cpus == nil {
		cpus, err = task.Affinity()
	}
	if err != nil {
		r.debug("nsexec[%d]: affinity: %v", pid, err)
		return
	}
	r.debug("nsexec[%d]: affinity: %s", pid, task.Mask(cpus))
}

// debugFilter tells how the seccomp filter is loaded.
func (r *Root) debugFilter(spec *specs.Spec) {
	if r.Debug == nil || spec.Linux.Seccomp == nil {
		return
	}
	flags, err := stage.FilterFlags(spec.Linux.Seccomp, stage.Notifies(spec))
	if err != nil {
		return // the process says so
	}
	r.debug("seccomp filter flags: %d", flags)
}
