package socket

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// InName prepares a socket to be bound to an address that is another's
// (IP_TRANSPARENT, ip(7)) and marks what it sends. It is for net.Dialer.
func InName(mark int) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) {
			s := int(fd)
			inner = errors.Join(
				transparent(s, strings.HasSuffix(network, "6")),
				unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_MARK, mark),
			)
		})
		return errors.Join(err, inner)
	}
}
