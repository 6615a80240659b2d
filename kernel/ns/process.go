package ns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"
)

// PidfdOpen returns a descriptor of a process that stays valid, and stays that
// process, whatever happens to the number. The error is ESRCH if there is no
// such process.
func PidfdOpen(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd of process %d: %w", pid, err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// PidfdWait waits for a process to end, for d at most: os.ErrDeadlineExceeded
// after that. It keeps a thread.
func PidfdWait(pidfd *os.File, d time.Duration) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	end := time.Now().Add(d)
	var n int
	cerr := raw.Control(func(fd uintptr) {
		for {
			left := max(time.Until(end), 0)
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	})
	if err := errors.Join(err, cerr); err != nil {
		return os.NewSyscallError("poll", err)
	}
	if n == 0 {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// PidfdSignal sends a signal. The error is ESRCH if the process has ended and
// was reaped.
func PidfdSignal(pidfd *os.File, sig syscall.Signal) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) {
		sent = unix.PidfdSendSignal(int(fd), sig, nil, 0)
	}); err != nil {
		return err
	}
	return os.NewSyscallError("pidfd_send_signal", sent)
}

// ProcessStartTime returns when the process started, in clock ticks since
// boot (field 22 of /proc/PID/stat). Together with the pid it names one
// process of this boot. The error is os.ErrNotExist if there is none.
func ProcessStartTime(pid int) (uint64, error) {
	stat, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	return startTime(stat)
}

// readStat returns the fields of /proc/PID/stat behind the name: the first is the
// state.
func readStat(pid int) ([][]byte, error) {
	b, err := file.Read("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, syscall.ESRCH) {
		err = os.ErrNotExist // it ended between open and read
	}
	if err != nil {
		return nil, err
	}
	return parseStat(b)
}

// stateField and the others count from the state (proc_pid_stat(5), fields 3, 4, 9
// and 22).
const (
	stateField  = 0
	parentField = 1
	flagsField  = 6
	startField  = 19
)

func parseStat(stat []byte) ([][]byte, error) {
	// The second field is the name in parentheses, with any bytes in it.
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return nil, fmt.Errorf("stat line without a name: %q", stat)
	}
	fields := bytes.Fields(stat[i+1:])
	if len(fields) <= startField {
		return nil, fmt.Errorf("stat line too short: %q", stat)
	}
	return fields, nil
}

func startTime(stat [][]byte) (uint64, error) {
	return strconv.ParseUint(string(stat[startField]), 10, 64)
}

func hasEnded(stat [][]byte) bool {
	state := stat[stateField][0]
	return state == 'Z' || state == 'X'
}

// ProcessState is ProcessStartTime, and tells whether the process has ended and
// only waits for its parent.
func ProcessState(pid int) (start uint64, ended bool, err error) {
	stat, err := readStat(pid)
	if err != nil {
		return 0, false, err
	}
	start, err = startTime(stat)
	return start, hasEnded(stat), err
}

// ProcessParent returns the number of the parent, and tells whether the process
// has ended and only waits for it. The error is os.ErrNotExist if there is no such
// process.
func ProcessParent(pid int) (parent int, ended bool, err error) {
	stat, err := readStat(pid)
	if err != nil {
		return 0, false, err
	}
	parent, err = strconv.Atoi(string(stat[parentField]))
	return parent, hasEnded(stat), err
}

// exiting is PF_EXITING (include/linux/sched.h), one of the flags.
const exiting = 0x4

// Ending tells whether the process has begun to end: its namespaces may be gone
// already, while it waits for those that end with it.
func Ending(pid int) bool {
	stat, err := readStat(pid)
	if err != nil {
		return true
	}
	flags, err := strconv.ParseUint(string(stat[flagsField]), 10, 64)
	return err == nil && flags&exiting != 0
}
