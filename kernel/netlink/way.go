package netlink

import (
	"cmp"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Way is how the kernel sends to an address.
type Way struct {
	Index int  // of the link
	Local bool // the address is the host's own
	Via   bool // there is a gateway in between
}

// WayTo asks the kernel how it would send to an address. The error is
// unix.ENETUNREACH, or unix.EHOSTUNREACH, if it would not.
func (c *Conn) WayTo(a netip.Addr) (Way, error) {
	all, err := c.h.RouteGet(a.AsSlice())
	if err != nil || len(all) == 0 {
		return Way{}, fmt.Errorf("way to %s: %w", a, cmp.Or(err, error(unix.ENETUNREACH)))
	}
	r := &all[0]
	return Way{Index: r.LinkIndex, Local: r.Type == unix.RTN_LOCAL, Via: r.Gw != nil || r.Via != nil}, nil
}
