package netlink

import (
	"encoding/binary"
	"iter"

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
