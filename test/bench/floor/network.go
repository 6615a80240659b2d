package main

import (
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// inside configures lo and eth0 in the namespace: address, default route.
func inside(ns *os.File, n int) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	eth0, err := h.LinkByName("eth0")
	if err != nil {
		return err
	}
	addr := &net.IPNet{IP: net.IPv4(10, 213, byte(n>>8), byte(n%250)+2).To4(), Mask: net.CIDRMask(16, 32)}
	if err := h.AddrAdd(eth0, &netlink.Addr{IPNet: addr}); err != nil {
		return err
	}
	for _, link := range []netlink.Link{lo, eth0} {
		if err := h.LinkSetUp(link); err != nil {
			return err
		}
	}
	return h.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.IPv4(10, 213, 255, 254)})
}
