package netlink

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Announce tells everybody on a link which hardware address has these
// addresses now: by a gratuitous ARP request (RFC 5944, 4.6) and an unsolicited
// neighbour advertisement (RFC 4861, 7.2.6). It belongs to the calling thread's
// namespace.
func Announce(index int, mac net.HardwareAddr, addresses []netip.Prefix) error {
	if len(mac) != 6 {
		return errors.New("announce: not an Ethernet address")
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) // hears nothing
	if err != nil {
		return os.NewSyscallError("packet socket", err)
	}
	defer unix.Close(fd)
	for _, p := range addresses {
		to := &unix.SockaddrLinklayer{Ifindex: index, Halen: 6}
		var packet []byte
		if a := p.Addr(); a.Is4() {
			to.Protocol, to.Addr = order(unix.ETH_P_ARP), [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
			packet = arp(mac, a)
		} else {
			to.Protocol, to.Addr = order(unix.ETH_P_IPV6), [8]byte{0x33, 0x33, 0, 0, 0, 1}
			packet = advertisement(mac, a)
		}
		err = errors.Join(err, os.NewSyscallError("announce address", unix.Sendto(fd, packet, 0, to)))
	}
	return err
}

// order is a number as the network writes it.
func order(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// arp asks for the sender's own address, which makes all who know it look at
// who asks.
func arp(mac net.HardwareAddr, a netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, their lengths, request
	b = append(append(b, mac...), a.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
}

// advertisement is an IPv6 packet to all nodes of the link.
func advertisement(mac net.HardwareAddr, a netip.Addr) []byte {
	const icmp6, length = 58, 32
	all := netip.MustParseAddr("ff02::1")
	body := make([]byte, length)
	body[0] = 136  // neighbour advertisement
	body[4] = 0x20 // override what you know
	copy(body[8:], a.AsSlice())
	body[24], body[25] = 2, 1 // option: target's link-layer address, 8 bytes
	copy(body[26:], mac)

	header := make([]byte, 40, 40+length)
	header[0] = 6 << 4
	header[5], header[6], header[7] = length, icmp6, 255
	copy(header[8:], a.AsSlice())
	copy(header[24:], all.AsSlice())
	binary.BigEndian.PutUint16(body[2:], ^checksum(header[8:], []byte{0, 0, 0, length, 0, 0, 0, icmp6}, body))
	return append(header, body...)
}

// checksum is the Internet's, of an even number of bytes, not complemented.
func checksum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for _, p := range parts {
		for i := 0; i < len(p); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(p[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
