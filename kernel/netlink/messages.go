package netlink

import (
	"encoding/binary"
	"errors"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

// message is one that the kernel sends (netlink(7)).
type message struct {
	kind, flags uint16
	body        []byte
}

// messages are those of one read, up to one whose length makes no sense.
func messages(b []byte) iter.Seq[message] {
	const header = unix.SizeofNlMsghdr
	return func(yield func(message) bool) {
		for len(b) >= header {
			n := int(binary.NativeEndian.Uint32(b))
			if n < header || n > len(b) {
				return
			}
			m := message{binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), b[header:n]}
			if b = b[min(len(b), (n+3)&^3):]; !yield(m) {
				return
			}
		}
	}
}

// drain reads from a socket that does not wait until there is nothing left, and
// hands out what it reads: there was something. lost: the kernel has lost messages
// (ENOBUFS). Once it has, it loses all that follow, without another word, until there
// is none to be read: who looks at the state of things before would miss what is
// changed meanwhile.
func drain(fd int, buf []byte, use func(data []byte)) (some, lost bool, err error) {
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return some, lost, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			lost = true
		case err != nil:
			return some, lost, os.NewSyscallError("read", err)
		default:
			use(buf[:n])
		}
		some = true
	}
}
