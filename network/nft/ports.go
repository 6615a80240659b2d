package nft

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"

	"github.com/berth-engine/berth/network/cover"
)

// fold is how many ports in a row, led to the same ports of one container, are
// worth an interval. Its set takes longer to change than that of single ports.
const fold = 32

// run is a port, or several in a row.
type run struct {
	Port
	last uint16 // host port
}

// runs folds ports that follow one another and keep their numbers.
func runs(ports []Port) []run {
	ports = slices.Clone(ports)
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(a.HostIP.Compare(b.HostIP), cmp.Compare(a.Proto, b.Proto), a.ContainerIP.Compare(b.ContainerIP), cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Slot, b.Slot))
	})
	var out []run
	for i := 0; i < len(ports); {
		p, n := ports[i], 1
		follows := func(q Port) bool {
			return q.HostIP == p.HostIP && q.Proto == p.Proto && q.ContainerIP == p.ContainerIP && q.Slot == p.Slot && q.Of == p.Of && !q.Routed &&
				q.HostPort == q.ContainerPort && int(q.HostPort) == int(p.HostPort)+n
		}
		for !p.Routed && p.HostPort == p.ContainerPort && i+n < len(ports) && follows(ports[i+n]) {
			n++
		}
		if n >= fold {
			out = append(out, run{p, p.HostPort + uint16(n-1)})
			i += n
			continue
		}
		for range n {
			out = append(out, run{ports[i], ports[i].HostPort})
			i++
		}
	}
	return out
}

// content is what the sets say about ports.
func (t *Table) content(ports []run) content {
	c := content{}
	for _, r := range ports {
		f := t.sets.family(r.ContainerIP)
		switch {
		case r.Routed:
			set := f.direct
			if t.routed(r.ContainerIP) {
				set = f.opened
			}
			c.add(set, nftables.SetElement{Key: socketKey(r.ContainerIP, r.Proto, r.ContainerPort)})
		case r.Of > 0:
			f.share(c, &r)
		case r.last > r.HostPort:
			first, last := r.addresses()
			c.add(f.ranges, nftables.SetElement{
				Key: socketKey(first, r.Proto, r.HostPort), KeyEnd: socketKey(last, r.Proto, r.last), Val: r.ContainerIP.AsSlice(),
			})
		default:
			e := nftables.SetElement{Val: append(r.ContainerIP.AsSlice(), padded(bigEndian(r.ContainerPort))...)}
			if r.HostIP.IsUnspecified() {
				e.Key = socketKey(netip.Addr{}, r.Proto, r.HostPort)
				c.add(f.any, e)
			} else {
				e.Key = socketKey(r.HostIP, r.Proto, r.HostPort)
				c.add(f.published, e)
			}
		}
	}
	return c
}

// addresses are the first and the last of the host's that are meant.
func (r *run) addresses() (first, last netip.Addr) {
	if r.HostIP.IsUnspecified() {
		return cover.Bounds(netip.PrefixFrom(r.HostIP, 0))
	}
	return r.HostIP, r.HostIP
}

// routed tells whether an address is on a network of that gateway mode.
func (t *Table) routed(a netip.Addr) bool {
	for bits := a.BitLen(); bits >= 0; bits-- {
		if g, ok := t.subnets[netip.PrefixFrom(a, bits).Masked()]; ok {
			return g == Routed
		}
	}
	return false
}

// socketKey is address . protocol . port, without the address if it is zero.
func socketKey(a netip.Addr, proto uint8, port uint16) []byte {
	return slices.Concat(a.AsSlice(), padded([]byte{proto}), padded(bigEndian(port)))
}

// padded fills up to the four bytes that each part of a concatenation takes.
func padded(b []byte) []byte { return append(b, make([]byte, 4-len(b))...) }

func bigEndian(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// parse turns an element of one of the sets back into the ports it stands for.
func (f *familySets) parse(set *nftables.Set, e nftables.SetElement) []Port {
	key, size := e.Key, int(f.size)
	p := Port{HostIP: f.zero}
	if set != f.any {
		if len(key) < size {
			return nil
		}
		p.HostIP, _ = netip.AddrFromSlice(key[:size])
		key = key[size:]
	}
	if len(key) < 8 {
		return nil
	}
	p.Proto, p.HostPort = key[0], binary.BigEndian.Uint16(key[4:])
	if set == f.opened || set == f.direct {
		return []Port{{Proto: p.Proto, ContainerIP: p.HostIP, ContainerPort: p.HostPort, Routed: true}}
	}
	if len(e.Val) < size {
		return nil
	}
	p.ContainerIP, _ = netip.AddrFromSlice(e.Val[:size])
	if set != f.ranges {
		if len(e.Val) < size+4 {
			return nil
		}
		p.ContainerPort = binary.BigEndian.Uint16(e.Val[size:])
		return []Port{p}
	}
	if len(e.KeyEnd) != len(e.Key) {
		return nil
	}
	if !bytes.Equal(e.Key[:size], e.KeyEnd[:size]) {
		p.HostIP = f.zero
	}
	var out []Port
	for n := int(p.HostPort); n <= int(binary.BigEndian.Uint16(e.KeyEnd[size+4:])); n++ {
		p.HostPort, p.ContainerPort = uint16(n), uint16(n)
		out = append(out, p)
	}
	return out
}
