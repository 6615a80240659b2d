package socket

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Kept is a copy of a socket that this process keeps open for others and never
// uses. It is no os.File, because Go would then be woken by all that arrives at
// the socket.
type Kept struct{ fd int }

// Keep makes a copy of f, and closes f.
func Keep(f *os.File) (*Kept, error) {
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	k := &Kept{-1}
	var inner error
	err = raw.Control(func(fd uintptr) {
		k.fd, inner = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return nil, fmt.Errorf("keep a socket: %w", err)
	}
	return k, nil
}

// ReceiveKept takes one descriptor that SendFile or SendKept passed.
func ReceiveKept(c *net.UnixConn) (*Kept, error) {
	f, err := ReceiveFile(c)
	if err != nil {
		return nil, err
	}
	return Keep(f)
}

// SendKept passes a kept socket on, as SendFile does.
func SendKept(c *net.UnixConn, k *Kept) error { return send(c, k.fd) }

// Close closes the copy; nil is none.
func (k *Kept) Close() {
	if k != nil && k.fd >= 0 {
		_ = unix.Close(k.fd) // nothing was written
		k.fd = -1
	}
}
