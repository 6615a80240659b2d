package task

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Peer unlocks a pseudo-terminal and opens its other end, by the master and
// not by a path that could have been replaced.
func Peer(master *os.File) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock terminal: %w", err)
	}
	return openPeer(master)
}

// SetWindow tells a terminal its size.
func SetWindow(tty *os.File, rows, cols uint16) error {
	size := unix.Winsize{Row: rows, Col: cols}
	return os.NewSyscallError("set window size", unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &size))
}

// Control makes tty the controlling terminal of the calling process, which
// must be a session leader without one.
func Control(tty *os.File) error {
	return os.NewSyscallError("set controlling terminal", unix.IoctlSetInt(int(tty.Fd()), unix.TIOCSCTTY, 0))
}

// RawOutput has a terminal leave line ends as they are (ONLCR), for a relay to
// another terminal that turns them into carriage return and line feed itself.
func RawOutput(tty *os.File) error {
	t, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err == nil {
		t.Oflag &^= unix.ONLCR
		err = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, t)
	}
	return os.NewSyscallError("set terminal", err)
}

// CookOutput has a terminal in raw mode process its output again (OPOST), line
// ends among it: for one at the other end of a relay from RawOutput's.
func CookOutput(tty *os.File) error {
	t, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err == nil {
		t.Oflag |= unix.OPOST
		err = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, t)
	}
	return os.NewSyscallError("set terminal", err)
}
