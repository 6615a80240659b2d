package netdev

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// conn is a socket to the kernel; it stays in the network namespace in which it
// was made.
type conn struct {
	fd  int
	seq uint32
}

func open() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("netlink bind", err)
	}
	return &conn{fd: fd}, nil
}

func (c *conn) close() { unix.Close(c.fd) }

// order is the machine's: both that Berth runs on are little-endian, as
// netlink is there.
var order = binary.LittleEndian

// request sends a message and hands the answers to each, without their header.
func (c *conn) request(kind, flags uint16, body []byte, each func(kind uint16, body []byte) error) error {
	c.seq++
	m := order.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	m = order.AppendUint16(m, kind)
	m = order.AppendUint16(m, unix.NLM_F_REQUEST|flags)
	m = order.AppendUint32(m, c.seq)
	m = append(order.AppendUint32(m, 0), body...)
	if err := unix.Sendto(c.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink send", err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(c.fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("netlink receive", err)
		}
		done, err := c.answers(buf[:n], each)
		if done || err != nil {
			return err
		}
	}
}

// answers goes through one datagram. done: it had the last answer.
func (c *conn) answers(b []byte, each func(kind uint16, body []byte) error) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size, kind, seq := int(order.Uint32(b)), order.Uint16(b[4:]), order.Uint32(b[8:])
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false, errors.New("malformed netlink message")
		}
		body := b[unix.SizeofNlMsghdr:size]
		b = b[min(align(size), len(b)):]
		switch {
		case seq != c.seq:
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR:
			if len(body) < 4 {
				return false, errors.New("malformed netlink message")
			}
			if errno := -int32(order.Uint32(body)); errno != 0 {
				return false, syscall.Errno(errno)
			}
			return true, nil
		default:
			if err := each(kind, body); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

func align(n int) int { return (n + 3) &^ 3 }

// attribute appends a value (rtnetlink(7), struct rtattr).
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = order.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = append(order.AppendUint16(b, kind), value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

// attributes goes through those behind a header.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(order.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		each(order.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:size])
		b = b[min(align(size), len(b)):]
	}
}
