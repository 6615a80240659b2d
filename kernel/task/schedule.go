package task

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strings"
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
	set, err := CPUSet(cpus)
	if err != nil {
		return err
	}
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(tid, set))
}

// CPUSet is a list of CPUs as the kernel takes it. A number that has no place in
// it is EINVAL.
func CPUSet(cpus []int) (*unix.CPUSet, error) {
	set := new(unix.CPUSet)
	for _, n := range cpus {
		if n < 0 || n >= 8*int(unsafe.Sizeof(*set)) {
			return nil, fmt.Errorf("CPU %d: %w", n, unix.EINVAL)
		}
		set.Set(n)
	}
	return set, nil
}

// Affinity are the calling thread's CPUs.
func Affinity() (*unix.CPUSet, error) {
	set := new(unix.CPUSet)
	return set, os.NewSyscallError("sched_getaffinity", unix.SchedGetaffinity(0, set))
}

// Mask is a set of CPUs as one hexadecimal number, bit n for CPU n.
func Mask(set *unix.CPUSet) string {
	mask := ""
	for _, word := range set {
		mask = fmt.Sprintf("%0*x", 2*int(unsafe.Sizeof(word)), uint64(word)) + mask
	}
	return "0x" + cmp.Or(strings.TrimLeft(mask, "0"), "0")
}

// allCPUs is more than any kernel is made for (NR_CPUS is 8192 at most).
const allCPUs = 8192

// Everywhere is the mask of all processors, for sched_setaffinity(2): the kernel
// leaves out what the machine, or the cpuset, does not have.
var Everywhere = func() (mask [allCPUs / 64]uint64) {
	for i := range mask {
		mask[i] = ^uint64(0)
	}
	return mask
}()

// ResetAffinity lets the calling thread run on all processors of its cpuset,
// whatever it has inherited. Since Linux 6.2 entering a cpuset does not do that
// any more for a process whose processors somebody has chosen.
func ResetAffinity() error {
	_, _, e := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(Everywhere), uintptr(unsafe.Pointer(&Everywhere)))
	if e != 0 {
		return os.NewSyscallError("sched_setaffinity", e)
	}
	return nil
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

// Idle lets the calling thread run only when no other wants to, until awake is
// called, by whoever waits for it. The goroutine must be locked to the thread.
func Idle() (awake func() error, err error) {
	thread := unix.Gettid()
	return func() error {
		return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(thread, &unix.SchedAttr{Size: unix.SizeofSchedAttr}, 0))
	}, Schedule(unix.SchedAttr{Policy: unix.SCHED_IDLE})
}
