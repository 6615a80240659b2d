package netlink

import "fmt"

// EnableIPv6 lets a link that was deaf to IPv6 use it, with the addresses it is
// given and no others: what a router advertises is not believed. It must be
// called in the link's namespace. The link's hardware address should be final,
// because its link-local address is made of it.
func EnableIPv6(link string) error {
	for _, set := range [][2]string{{"accept_ra", "0"}, {"accept_dad", "0"}, {"disable_ipv6", "0"}} {
		if err := SetSysctl("ipv6/conf/"+link+"/"+set[0], set[1]); err != nil {
			return fmt.Errorf("IPv6 on %s: %w", link, err)
		}
	}
	return nil
}
