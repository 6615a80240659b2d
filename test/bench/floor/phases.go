package main

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// The phases of one container, in order. Those from childFirst to childLast are
// done by the container's process, the others by its parent.
const (
	phaseNetNS = iota
	phaseVeth
	phaseAddress
	phaseGroups
	phaseOverlay
	phaseClone
	phaseNamespaces
	phaseRoot
	phaseMounts
	phaseDevices
	phaseEtc
	phasePivot
	phaseHide
	phaseSeccomp
	phaseProgram
	phaseTearDown
	phaseCount

	childFirst, childLast = phaseClone, phaseSeccomp
)

// phaseNames says what a phase is to people.
var phaseNames = [phaseCount]string{
	phaseNetNS:      "network namespace",
	phaseVeth:       "veth on the bridge",
	phaseAddress:    "address, links up, route",
	phaseGroups:     "control groups",
	phaseOverlay:    "directories and overlay",
	phaseClone:      "clone into mnt, pid, ipc, uts; start of the process; join groups",
	phaseNamespaces: "join net, make cgroup namespace, host name",
	phaseRoot:       "root mount",
	phaseMounts:     "proc, sys, dev, pts, shm, mqueue, cgroup",
	phaseDevices:    "device nodes and links",
	phaseEtc:        "three files bound over /etc",
	phasePivot:      "pivot_root",
	phaseHide:       "masked and read-only paths",
	phaseSeccomp:    "capabilities and seccomp filter",
	phaseProgram:    "exec, run, exit, reap",
	phaseTearDown:   "tear-down",
}

// stamps are the times at which phases ended, in nanoseconds of the clock that
// all processes share.
type stamps [phaseCount]int64

// now reads that clock.
func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it cannot fail
	return ts.Nano()
}

// stampFile makes the file through which the process tells its stamps.
func stampFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("stamps", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "stamps"), nil
}

// tell is the process's part: a phase has ended.
func tell(phase int) error {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(now()))
	_, err := unix.Pwrite(fdStamps, b[:], int64(8*phase))
	return err
}

// hear is the parent's.
func (s *stamps) hear(f *os.File) error {
	var b [8 * phaseCount]byte
	if _, err := f.ReadAt(b[:8*(childLast+1)], 0); err != nil {
		return err
	}
	for i := childFirst; i <= childLast; i++ {
		s[i] = int64(binary.NativeEndian.Uint64(b[8*i:]))
	}
	return nil
}

// lengths are how long the phases took, in milliseconds.
func (s *stamps) lengths(begin int64) (ms [phaseCount]float64) {
	for i, end := range s {
		ms[i] = float64(end-begin) / 1e6
		begin = end
	}
	return ms
}
