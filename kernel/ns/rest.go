package ns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A process with nothing to do can go to rest: it executes a program of one page of
// code (RestProgram), which waits for what the process would wait for, and then
// executes the process's own program again. It stays the same process all the
// while, with the same children, descriptors and number, but has no more memory than a page
// or two, where Go's runtime alone has a hundred.

const (
	// RestState is the descriptor that the program, and who is awake again, finds
	// the state at.
	RestState = 0
	// RestExe is the descriptor of the process's own program.
	RestExe = 4
	// MaxRest bounds what a process waits for at rest.
	MaxRest = 128

	restTable = 8 + 8*MaxRest
)

// A Wakeup is a descriptor that ends the rest when there is something to read, or
// it is broken. With Peer, that the other side has closed wakes nobody.
type Wakeup struct {
	FD   int
	Peer bool
}

// Rest executes program, of RestProgram, at descriptor number program, until one of
// for is ready; then it executes RestExe with args and env, which finds state
// behind AwakeState's descriptor. keep are the descriptors that stay open, those
// of wakeups, the program's and RestExe excepted. It returns only when the process could
// not go to rest, and is as it was.
func Rest(program int, args, env []string, wakeups []Wakeup, keep []int, state []byte) error {
	if len(wakeups) > MaxRest {
		return fmt.Errorf("rest: %d descriptors", len(wakeups))
	}
	table := make([]byte, restTable, restTable+len(state))
	binary.NativeEndian.PutUint64(table, uint64(len(wakeups)))
	for i, w := range wakeups {
		keep = append(keep, w.FD)
		events := uint16(unix.POLLIN)
		if w.Peer {
			events |= unix.POLLRDHUP
		}
		binary.NativeEndian.PutUint32(table[8+8*i:], uint32(w.FD))
		binary.NativeEndian.PutUint16(table[8+8*i+4:], events)
	}
	f, err := DataMemfd("rest", bytes.NewReader(append(table, state...)))
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.Dup3(int(fd), RestState, 0) })
	if err := errors.Join(err, cerr); err != nil {
		return os.NewSyscallError("dup3", err)
	}
	for _, fd := range append(keep, RestExe, program) {
		if err = setCloseOnExec(fd, 0); err != nil {
			break
		}
	}
	if err == nil {
		err = syscall.Exec("/proc/self/fd/"+strconv.Itoa(program), args, env)
	}
	return errors.Join(fmt.Errorf("rest: %w", err), noState())
}

func setCloseOnExec(fd, flag int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag)
	return err
}

// AwakeState is the state of Rest, for the program that is executed when the rest
// is over. All descriptors but the first three are close-on-exec again.
func AwakeState() ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(RestState, &st); err != nil {
		return nil, os.NewSyscallError("stat", err)
	}
	if st.Size < restTable {
		return nil, errors.New("rest: no state")
	}
	state := make([]byte, st.Size-restTable)
	if n, err := unix.Pread(RestState, state, restTable); err != nil || n < len(state) {
		return nil, fmt.Errorf("rest: %d of %d bytes of state: %w", n, len(state), err)
	}
	return state, noState()
}

// noState gives the descriptor of the state its usual meaning back.
func noState() error {
	if err := unix.CloseRange(RestState+3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return os.NewSyscallError("close_range", err)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(null)
	return os.NewSyscallError("dup3", unix.Dup3(null, RestState, 0))
}
