//go:build !nodefence_peer

package task

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPeer opens the other end of the master's own devpts instance.
func openPeer(master *os.File) (*os.File, error) {
	fd, _, e := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		return nil, fmt.Errorf("open terminal: %w", e)
	}
	return os.NewFile(fd, "terminal"), nil
}
