// Package sctp has the two ends of an association for tests of what is published
// over SCTP, which Go's net does not know and for which Debian has no small
// program.
package sctp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Available tells whether the kernel has SCTP, or a module that it may load.
func Available() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	return err == nil && unix.Close(fd) == nil
}

// Answer answers the first message of every association with name before it,
// until l is closed.
func Answer(l net.Listener, name string) {
	for c, err := l.Accept(); err == nil; c, err = l.Accept() {
		buf := make([]byte, 2000)
		if n, err := c.Read(buf); err == nil {
			_, _ = fmt.Fprintf(c, "%s %s", name, buf[:n])
		}
		c.Close()
	}
}

// Call opens an association from the network namespace of the calling thread,
// sends a message and returns the answer. Each step may take as long as wait.
func Call(address, message string, wait time.Duration) (string, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", err
	}
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(wait.Nanoseconds())
	for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} { // the first is connect's, too
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			return "", os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Connect(fd, to); err != nil {
		return "", os.NewSyscallError("connect", err)
	}
	if _, err := unix.Write(fd, []byte(message)); err != nil {
		return "", os.NewSyscallError("write", err)
	}
	buf := make([]byte, 2000)
	n, err := unix.Read(fd, buf)
	return string(buf[:max(n, 0)]), os.NewSyscallError("read", err)
}
