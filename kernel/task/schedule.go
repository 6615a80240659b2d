package task

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Schedule sets the calling thread's scheduling policy and what belongs to it
// (sched_setattr(2)). Programs and children inherit it, unless a flag says
// otherwise. Most of it needs CAP_SYS_NICE.
func Schedule(a unix.SchedAttr) error {
	a.Size = unix.SizeofSchedAttr
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, &a, 0))
}

// SetIOPriority sets the calling thread's I/O scheduling class (IOPRIO_CLASS_…,
// 1 to 3) and the priority in it (0, the highest, to 7); ioprio_set(2).
func SetIOPriority(class, priority int) error {
	const (
		whoProcess = 1 // IOPRIO_WHO_PROCESS; 0 is the calling thread
		classShift = 13
	)
	_, _, e := unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(class<<classShift|priority))
	if e != 0 {
		return os.NewSyscallError("ioprio_set", e)
	}
	return nil
}

// SetAffinity lets a thread run on some CPUs only; 0 is the calling thread. What
// its cpuset does not have is left out; the error is EINVAL if nothing is left.
func SetAffinity(tid int, cpus []int) error {
	var set unix.CPUSet
	for _, n := range cpus {
		if n < 0 || n >= 8*int(unsafe.Sizeof(set)) {
			return fmt.Errorf("CPU %d: %w", n, unix.EINVAL)
		}
		set.Set(n)
	}
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(tid, &set))
}

// maxNodes is what the largest kernels are made for (MAX_NUMNODES).
const maxNodes = 1024

// SetMemoryPolicy says from which nodes the calling thread gets memory, and
// programs that it executes: mode is MPOL_… with flags (set_mempolicy(2)).
func SetMemoryPolicy(mode int, nodes []int) error {
	var mask [maxNodes / 64]uint64
	for _, n := range nodes {
		if n < 0 || n >= maxNodes {
			return fmt.Errorf("memory node %d: %w", n, unix.EINVAL)
		}
		mask[n/64] |= 1 << (n % 64)
	}
	var first unsafe.Pointer
	count := uintptr(0)
	if len(nodes) > 0 {
		first, count = unsafe.Pointer(&mask), maxNodes+1 // the kernel takes one off
	}
	_, _, e := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, uintptr(mode), uintptr(first), count)
	runtime.KeepAlive(&mask)
	if e != 0 {
		return os.NewSyscallError("set_mempolicy", e)
	}
	return nil
}
