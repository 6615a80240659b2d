package netlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Around is what the addresses and routes of a namespace reach. The kernel tells
// what changes (rtnetlink(7)), so that a look costs nothing that grows with the
// number of links. It is not safe for concurrent use.
type Around struct {
	conn     *Conn
	fd       int
	told     func(p netip.Prefix, reached bool)
	reaches  map[netip.Prefix]int // how many addresses and routes
	addrs    map[int][]netip.Prefix
	routes   map[int][]netip.Prefix // but for the default ones; both by their links
	defaults map[Route]int
	suspect  map[int]bool // links that lost an address: they may be gone
	stale    bool         // what is known must be read anew
}

// groups are those of rtnetlink(7) that tell of addresses and routes.
const groups = unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// LookAround subscribes to the changes in the calling thread's namespace, in
// which conn must be, too. Look calls told for each network that is reached from
// now on, or no longer; nil: nobody wants to know.
func LookAround(conn *Conn, told func(p netip.Prefix, reached bool)) (*Around, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("rtnetlink socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("subscribe to rtnetlink", err)
	}
	return &Around{conn: conn, fd: fd, told: told, stale: true}, nil
}

// Close ends the subscription.
func (a *Around) Close() {
	if a != nil && a.fd >= 0 {
		_ = unix.Close(a.fd) // nothing was written
		a.fd = -1
	}
}

// Look brings up to date what is known. The kernel queues every change before
// it answers who made it: what happened before the call is known after it.
func (a *Around) Look() error {
	buf := make([]byte, 64<<10)
	if !a.stale {
		_, lost, err := drain(a.fd, buf, func(data []byte) {
			if !a.stale {
				a.hear(data)
			}
		})
		a.stale = a.stale || lost || err != nil
	}
	if !a.stale {
		if err := a.settle(); err != nil || !a.stale {
			return err
		}
	}
	return a.read(buf)
}

// settle forgets what links reached that are gone: their IPv4 routes go without
// a word. Those of a link that is there may have, too.
func (a *Around) settle() error {
	for index := range a.suspect {
		delete(a.suspect, index)
		_, err := a.conn.LinkAt(index)
		switch {
		case err == nil:
			a.stale = a.stale || len(a.routes[index]) > 0
		case errdefs.IsNotFound(err):
			a.forget(index)
		default:
			return err
		}
	}
	return nil
}

// forget drops what a link reached.
func (a *Around) forget(index int) {
	for _, p := range slices.Concat(a.addrs[index], a.routes[index]) {
		a.count(p, -1)
	}
	delete(a.addrs, index)
	delete(a.routes, index)
	for r := range a.defaults {
		if r.Index == index {
			delete(a.defaults, r)
		}
	}
}

// read reads everything anew; what changes meanwhile is heard afterwards, and
// counted twice at worst: then a place that is free is taken to be used, until
// the next reading.
func (a *Around) read(buf []byte) error {
	if _, _, err := drain(a.fd, buf, func([]byte) {}); err != nil { // forget what is queued
		return err
	}
	addrs, err := a.conn.Addrs()
	if err != nil {
		return err
	}
	routes, err := a.conn.Routes()
	if err != nil {
		return err
	}
	before, told := a.reaches, a.told
	a.empty()
	a.told = nil
	for _, x := range addrs {
		a.addrs[x.Index] = append(a.addrs[x.Index], x.Prefix)
		a.count(x.Prefix, 1)
	}
	for _, r := range routes {
		a.route(r, 1)
	}
	if a.told = told; told == nil {
		return nil
	}
	for p := range before {
		if a.reaches[p] == 0 {
			told(p, false)
		}
	}
	for p := range a.reaches {
		if before[p] == 0 {
			told(p, true)
		}
	}
	return nil
}

// empty knows nothing.
func (a *Around) empty() {
	a.reaches, a.defaults, a.stale = map[netip.Prefix]int{}, map[Route]int{}, false
	a.addrs, a.routes, a.suspect = map[int][]netip.Prefix{}, map[int][]netip.Prefix{}, map[int]bool{}
}

func (a *Around) count(p netip.Prefix, by int) {
	p = p.Masked()
	if !p.IsValid() || p.Bits() == 0 {
		return
	}
	n := a.reaches[p] + by
	if n > 0 {
		a.reaches[p] = n
	} else {
		delete(a.reaches, p)
	}
	if a.told != nil && (n == 0 || n == by) {
		a.told(p, n > 0)
	}
}

// take removes one from a list of those of a link; false: it was not there.
func take(m map[int][]netip.Prefix, index int, p netip.Prefix) bool {
	i := slices.Index(m[index], p)
	if i < 0 {
		return false
	}
	if m[index] = slices.Delete(m[index], i, i+1); len(m[index]) == 0 {
		delete(m, index)
	}
	return true
}

func (a *Around) route(r Route, by int) {
	switch {
	case r.To.Bits() == 0:
		if a.defaults[r] += by; a.defaults[r] <= 0 {
			delete(a.defaults, r)
		}
	case by > 0:
		a.routes[r.Index] = append(a.routes[r.Index], r.To)
		a.count(r.To, by)
	case take(a.routes, r.Index, r.To):
		a.count(r.To, by)
	}
}

// address is one that a link has, or no longer. The kernel announces a change of
// its lifetime as it does a new one.
func (a *Around) address(index int, p netip.Prefix, by int) {
	switch {
	case by > 0 && !slices.Contains(a.addrs[index], p):
		a.addrs[index] = append(a.addrs[index], p)
		a.count(p, by)
	case by < 0 && take(a.addrs, index, p):
		a.count(p, by)
	}
}

// Defaults are the default routes.
func (a *Around) Defaults() []Route {
	var out []Route
	for r := range a.defaults {
		out = append(out, r)
	}
	return out
}

// hear applies messages about changes.
func (a *Around) hear(data []byte) {
	for m := range messages(data) {
		switch m.kind {
		case unix.RTM_NEWADDR:
			a.hearAddress(m.body, 1)
		case unix.RTM_DELADDR:
			a.hearAddress(m.body, -1)
		case unix.RTM_NEWROUTE:
			// What it takes the place of is not told.
			a.stale = a.stale || m.flags&unix.NLM_F_REPLACE != 0
			a.hearRoute(m.body, 1)
		case unix.RTM_DELROUTE:
			a.hearRoute(m.body, -1)
		}
	}
}

func (a *Around) hearRoute(body []byte, by int) {
	if r, main, err := parseRoute(body); err == nil && main {
		a.route(r, by)
	}
}

func (a *Around) hearAddress(body []byte, by int) {
	p, err := parseAddress(body)
	if err != nil {
		return
	}
	index := int(binary.NativeEndian.Uint32(body[4:]))
	if a.address(index, p, by); by < 0 {
		a.suspect[index] = true
	}
}

// parseAddress reads an ifaddrmsg with its attributes.
func parseAddress(b []byte) (p netip.Prefix, err error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return p, unix.EINVAL
	}
	family, bits := b[0], int(b[1])
	local, peer := netip.Addr{}, netip.Addr{}
	err = attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local = addressOf(family, value)
		case unix.IFA_ADDRESS:
			peer = addressOf(family, value)
		}
	})
	switch {
	case !local.IsValid():
		local = peer
	case peer.IsValid() && peer != local:
		bits = local.BitLen() // the other end's network is not ours
	}
	if p = netip.PrefixFrom(local, bits); err == nil && !p.IsValid() {
		err = unix.EINVAL
	}
	return p, err
}

// parseRoute reads an rtmsg with its attributes; main: it is of the main table.
func parseRoute(b []byte) (r Route, main bool, err error) {
	if len(b) < unix.SizeofRtMsg {
		return r, false, unix.EINVAL
	}
	family, bits, table, flags := b[0], int(b[1]), uint32(b[4]), binary.NativeEndian.Uint32(b[8:])
	to := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		to = netip.IPv6Unspecified()
	}
	err = attributes(b[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.RTA_DST:
			to = addressOf(family, value)
		case unix.RTA_GATEWAY:
			r.Via = addressOf(family, value)
		case unix.RTA_OIF:
			if len(value) == 4 {
				r.Index = int(binary.NativeEndian.Uint32(value))
			}
		case unix.RTA_TABLE:
			if len(value) == 4 {
				table = binary.NativeEndian.Uint32(value)
			}
		}
	})
	if r.To = netip.PrefixFrom(to, bits); err == nil && !r.To.IsValid() {
		err = unix.EINVAL
	}
	return r, table == unix.RT_TABLE_MAIN && flags&unix.RTM_F_CLONED == 0, err
}

func addressOf(family byte, b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok || a.Is4() != (family == unix.AF_INET) {
		return netip.Addr{}
	}
	return a
}

// attributes calls f for each attribute.
func attributes(b []byte, f func(kind uint16, value []byte)) error {
	const header = unix.SizeofRtAttr
	for len(b) >= header {
		n := int(binary.NativeEndian.Uint16(b))
		if n < header || n > len(b) {
			return fmt.Errorf("attribute of %d bytes in %d: %w", n, len(b), unix.EINVAL)
		}
		f(binary.NativeEndian.Uint16(b[2:]), b[header:n])
		b = b[min(len(b), (n+3)&^3):]
	}
	return nil
}
