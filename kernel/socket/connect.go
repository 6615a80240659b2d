package socket

import (
	"errors"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// ConnectTCP begins a connection from the network namespace of the calling thread
// and does not wait for it: reads and writes do, and tell if it failed. So it takes
// no thread of its own in a namespace.
func ConnectTCP(to netip.AddrPort) (net.Conn, error) {
	var (
		a      = to.Addr()
		family = unix.AF_INET
		sa     unix.Sockaddr
	)
	if a.Is4() {
		sa = &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
	} else {
		six := &unix.SockaddrInet6{Port: int(to.Port()), Addr: a.As16()}
		if zone := a.Zone(); zone != "" {
			link, err := net.InterfaceByName(zone)
			if err != nil {
				return nil, err
			}
			six.ZoneId = uint32(link.Index)
		}
		family, sa = unix.AF_INET6, six
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "connecting")
	defer f.Close()
	if err := unix.Connect(fd, sa); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}
