package socket

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// SetTransparent says IP_TRANSPARENT (ip(7), CAP_NET_ADMIN or CAP_NET_RAW) of an
// IPv4 socket, or IPV6_TRANSPARENT of an IPv6 one. It may then have addresses of
// others, and nftables tells it by `socket transparent`.
func SetTransparent(c syscall.RawConn, six bool) error {
	var inner error
	err := c.Control(func(fd uintptr) { inner = transparent(int(fd), six) })
	return errors.Join(err, inner)
}

func transparent(fd int, six bool) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if six {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	return unix.SetsockoptInt(fd, level, option, 1)
}
