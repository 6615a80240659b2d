package cgroup

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// keepMemlock lets done take back what the library does to this process: for the
// device filter of v2 it lifts the limit of locked memory, which old kernels count
// programs against, and leaves it so. Monitors, and with them containers, would
// inherit that, those that are started later and not those before. Nothing is
// executed meanwhile.
func keepMemlock() (done func()) {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) != nil {
		return func() {}
	}
	syscall.ForkLock.RLock()
	return func() {
		_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit) // lowering is allowed to everybody
		syscall.ForkLock.RUnlock()
	}
}
