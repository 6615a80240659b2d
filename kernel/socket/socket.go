// Package socket is what programs do with unix sockets beyond bytes: who is at
// the other end, and descriptors that travel along; and what the kernel's
// answers about sockets mean.
package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// PeerUID is the user of the process that connected (SO_PEERCRED, unix(7)).
func PeerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, inner); err != nil {
		return 0, fmt.Errorf("peer's credentials: %w", err)
	}
	return cred.Uid, nil
}

// SendFile passes one descriptor, along with one byte.
func SendFile(c *net.UnixConn, f *os.File) error {
	// f.Fd() would make the file blocking, for everybody who has it.
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = send(c, int(fd)) })
	return errors.Join(err, inner)
}

func send(c *net.UnixConn, fd int) error {
	_, _, err := c.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil)
	return err
}

// ReceiveFile takes one descriptor that SendFile passed; it is close-on-exec.
func ReceiveFile(c *net.UnixConn) (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("no descriptor came along (%w)", errors.Join(err, os.ErrInvalid))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "received"), nil
}

// Readable waits until something, or an error, can be read from a socket,
// without taking it. The error says that the socket was closed.
func Readable(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !errors.Is(err, unix.EAGAIN)
	})
}

// DatagramSize is the size of a buffer that every datagram fits into.
const DatagramSize = 64 << 10

// EachDatagram reads from a socket and hands out what comes until the socket is
// closed or its deadline is over, which the error says. Buffers are
// *[DatagramSize]byte; none is held while nothing comes.
func EachDatagram(c syscall.Conn, buffers *sync.Pool, use func(datagram []byte)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	for err == nil {
		err = raw.Read(func(fd uintptr) (done bool) {
			buf := buffers.Get().(*[DatagramSize]byte)
			defer buffers.Put(buf)
			n, err := unix.Read(int(fd), buf[:])
			if err == nil {
				use(buf[:n])
			}
			return !errors.Is(err, unix.EAGAIN) // another one is about an earlier datagram
		})
	}
	return err
}

// InUse tells whether err says that an address is taken.
func InUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// NoFamily tells whether err says that the host has no such address family.
func NoFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// Reason is the system's word in err alone, without the call that got it.
func Reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}
