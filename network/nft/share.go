package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// among is the name of the chain that spreads over so many containers.
func among(of uint16) string { return fmt.Sprintf("among%d", of) }

// spread makes the chain that leads to one of as many containers as share a
// port, if there is none. It serves all ports that so many share: a map says
// which they are.
func (t *Table) spread(p *Port) {
	if p.Of == 0 || p.Slot != 0 {
		return
	}
	of := p.Of
	t.spreads[of]++
	if t.spreads[of] > 1 {
		return
	}
	chain := t.chain(among(of))
	for i := range t.sets.of {
		f := &t.sets.of[i]
		t.rule(chain, f.oneOf(f.shared, of))
		t.rule(chain, f.oneOf(f.sharedIn, of))
	}
}

// gather takes back what spread did.
func (t *Table) gather(p *Port) {
	if p.Of == 0 || p.Slot != 0 {
		return
	}
	t.spreads[p.Of]--
	if t.spreads[p.Of] > 0 {
		return
	}
	delete(t.spreads, p.Of)
	name := among(p.Of)
	t.conn.DelChain(&nftables.Chain{Table: t.table, Name: name})
	delete(t.rules, name)
	t.order = slices.DeleteFunc(t.order, func(l listed) bool { return l.name == name })
}

// amongWhom leads packets to ports that several share to the chain for so many.
func (f *familySets) amongWhom() part {
	return part{f.word + " daddr . meta l4proto . th dport vmap @" + f.among.Name, append(f.loadSocket(),
		&expr.Lookup{SourceRegister: a16, DestRegister: 0, IsDestRegSet: true, SetName: f.among.Name, SetID: f.among.ID})}
}

// oneOf leads the packet to one of those that the map has, by chance.
func (f *familySets) oneOf(set *nftables.Set, of uint16) part {
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f.proto), RegAddrMin: a16, RegProtoMin: f.port}
	if set == f.sharedIn {
		nat.RegProtoMin = 0 // the port stays what it is
	}
	return part{
		fmt.Sprintf("dnat %s to %s daddr . meta l4proto . th dport . numgen random mod %d map @%s", f.word, f.word, of, set.Name),
		append(f.loadSocket(),
			&expr.Numgen{Register: f.slot, Modulus: uint32(of), Type: unix.NFT_NG_RANDOM},
			// Intervals are compared from the first byte on.
			&expr.Byteorder{SourceRegister: f.slot, DestRegister: f.slot, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Lookup{SourceRegister: a16, DestRegister: a16, IsDestRegSet: true, SetName: set.Name, SetID: set.ID}, nat),
	}
}

// share adds what the sets say about one of those who share ports.
func (f *familySets) share(c content, r *run) {
	first, last := r.addresses()
	from, to := socketKey(first, r.Proto, r.HostPort), socketKey(last, r.Proto, r.last)
	if r.Slot == 0 {
		c.add(f.among, nftables.SetElement{Key: from, KeyEnd: to, VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: among(r.Of)}})
	}
	slot := binaryutil.BigEndian.PutUint32(uint32(r.Slot))
	e := nftables.SetElement{Key: append(from, slot...), KeyEnd: append(to, slot...), Val: r.ContainerIP.AsSlice()}
	set := f.sharedIn
	if r.last == r.HostPort {
		set, e.Val = f.shared, append(e.Val, padded(bigEndian(r.ContainerPort))...)
	}
	c.add(set, e)
}

// readShared reads from the kernel which ports are shared.
func (t *Table) readShared(f *familySets) ([]Port, error) {
	var out []Port
	type socket struct {
		ip    netip.Addr
		port  uint16
		proto uint8
	}
	of := map[socket]uint16{}
	for _, set := range []*nftables.Set{f.shared, f.sharedIn} {
		elements, err := t.elements(set)
		if err != nil {
			return nil, err
		}
		for _, e := range elements {
			for _, p := range f.parseShared(set, e) {
				of[socket{p.HostIP, p.HostPort, p.Proto}]++
				out = append(out, p)
			}
		}
	}
	for i := range out {
		out[i].Of = of[socket{out[i].HostIP, out[i].HostPort, out[i].Proto}]
	}
	return out, nil
}

// parseShared turns an element back into the ports it stands for, but for how
// many share them.
func (f *familySets) parseShared(set *nftables.Set, e nftables.SetElement) []Port {
	size := int(f.size)
	if len(e.Key) < size+12 || len(e.KeyEnd) != len(e.Key) || len(e.Val) < size {
		return nil
	}
	p := Port{Proto: e.Key[size], Slot: uint16(binary.BigEndian.Uint32(e.Key[size+8:]))}
	p.HostIP, _ = netip.AddrFromSlice(e.Key[:size])
	if !bytes.Equal(e.Key[:size], e.KeyEnd[:size]) {
		p.HostIP = f.zero
	}
	p.ContainerIP, _ = netip.AddrFromSlice(e.Val[:size])
	var out []Port
	for n := int(binary.BigEndian.Uint16(e.Key[size+4:])); n <= int(binary.BigEndian.Uint16(e.KeyEnd[size+4:])); n++ {
		p.HostPort, p.ContainerPort = uint16(n), uint16(n)
		if set == f.shared {
			if len(e.Val) < size+4 {
				return nil
			}
			p.ContainerPort = binary.BigEndian.Uint16(e.Val[size:])
		}
		out = append(out, p)
	}
	return out
}
