package netdev

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// links returns number and name of all interfaces.
func (c *conn) links() (out []link, err error) {
	err = c.request(unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg), func(kind uint16, b []byte) error {
		if kind != unix.RTM_NEWLINK || len(b) < unix.SizeofIfInfomsg {
			return errors.New("unexpected netlink message")
		}
		index := order.Uint32(b[4:])
		attributes(b[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
			if kind == unix.IFLA_IFNAME {
				out = append(out, link{index: index, name: string(bytes.TrimRight(value, "\x00"))})
			}
		})
		return nil
	})
	return out, err
}

// link is an interface, and what setLink changes of it: the namespace and the
// name, or the state.
type link struct {
	index uint32
	up    bool
	netns int32 // a descriptor, with name
	name  string
}

func (c *conn) setLink(l link) error {
	b := make([]byte, 4, 64) // struct ifinfomsg
	b = order.AppendUint32(b, l.index)
	flags := uint32(0)
	if l.up {
		flags = unix.IFF_UP
	}
	b = order.AppendUint32(order.AppendUint32(b, flags), flags)
	if l.name != "" {
		b = attribute(b, unix.IFLA_NET_NS_FD, order.AppendUint32(nil, uint32(l.netns)))
		b = attribute(b, unix.IFLA_IFNAME, append([]byte(l.name), 0))
	}
	return c.request(unix.RTM_NEWLINK, unix.NLM_F_ACK, b, ignore)
}

func ignore(uint16, []byte) error { return nil }

// address is one of an interface, with what is said about it.
type address struct {
	family, prefix, scope byte
	values                []byte // attributes, as they are sent again
}

// again are the attributes that an address takes along. Its label has the
// interface's old name in it.
func again(kind uint16) bool {
	switch kind {
	case unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST, unix.IFA_RT_PRIORITY:
		return true
	}
	return false
}

// chosen are the flags of an address that are somebody's choice, and not its
// state.
const chosen = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// addresses returns the permanent ones of global scope of an interface.
func (c *conn) addresses(index uint32) (out []address, err error) {
	err = c.request(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg), func(kind uint16, b []byte) error {
		if kind != unix.RTM_NEWADDR || len(b) < unix.SizeofIfAddrmsg {
			return errors.New("unexpected netlink message")
		}
		a := address{family: b[0], prefix: b[1], scope: b[3]}
		if order.Uint32(b[4:]) != index || a.scope != unix.RT_SCOPE_UNIVERSE {
			return nil
		}
		flags := uint32(b[2])
		attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
			switch {
			case kind == unix.IFA_FLAGS && len(value) == 4:
				flags = order.Uint32(value) // with those that have no room in a byte
			case again(kind):
				a.values = attribute(a.values, kind, value)
			}
		})
		if flags&unix.IFA_F_PERMANENT != 0 {
			a.values = attribute(a.values, unix.IFA_FLAGS, order.AppendUint32(nil, flags&chosen))
			out = append(out, a)
		}
		return nil
	})
	return out, err
}

func (c *conn) addAddress(index uint32, a *address) error {
	b := order.AppendUint32([]byte{a.family, a.prefix, 0, a.scope}, index)
	return c.request(unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, append(b, a.values...), ignore)
}
