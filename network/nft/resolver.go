package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// portDNS is where programs ask for names.
const portDNS = 53

// resolverTable is the table in a container's namespace.
const resolverTable = "berth-resolver"

// Resolver leads questions about names to the ports that a resolver really has
// at address a, in the network namespace of the calling thread. The resolver
// does not have port 53, so that a container's own name server may have it. The
// numbers are exchanged in passing packets: no connection tracking, which would
// cost every packet of the container something.
func Resolver(a netip.Addr, udp, tcp uint16) error {
	conn, err := nftables.New()
	if err == nil {
		err = resolver(conn, a, udp, tcp, func(t *nftables.Table) { conn.CreateTable(t) })
	}
	if errors.Is(err, unix.EEXIST) { // an earlier resolver's, whose sockets are lost
		err = resolver(conn, a, udp, tcp, func(t *nftables.Table) {
			conn.AddTable(t)
			conn.DelTable(t)
			conn.AddTable(t)
		})
	}
	if err != nil {
		return fmt.Errorf("nftables: lead to the resolver: %w", err)
	}
	return nil
}

// resolver is one transaction; begin makes the table. What it takes away, the
// kernel waits for when the socket is closed (an RCU grace period, a hundredth of
// a second): a new namespace has nothing to take away.
func resolver(conn *nftables.Conn, a netip.Addr, udp, tcp uint16, begin func(*nftables.Table)) error {
	table := &nftables.Table{Name: resolverTable, Family: nftables.TableFamilyIPv4}
	begin(table)
	accept := nftables.ChainPolicyAccept
	chain := conn.AddChain(&nftables.Chain{
		Name: "output", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRaw, Policy: &accept,
	})
	for proto, port := range map[byte]uint16{unix.IPPROTO_UDP: udp, unix.IPPROTO_TCP: tcp} {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exchange(a, proto, four.dst, 2, portDNS, port)})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exchange(a, proto, four.src, 0, port, portDNS)})
	}
	return conn.Flush()
}

// exchange is a rule that changes a port number at an offset of the transport
// header, in packets with address a at an offset of the network header.
func exchange(a netip.Addr, proto byte, address, offset uint32, from, to uint16) []expr.Any {
	checksum := uint32(6) // of UDP
	if proto == unix.IPPROTO_TCP {
		checksum = 16
	}
	port := func(register uint32) *expr.Payload {
		return &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2, DestRegister: register}
	}
	number := func(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
	write := &expr.Payload{
		OperationType: expr.PayloadWrite, SourceRegister: a16, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2,
		CsumType: expr.CsumTypeInet, CsumOffset: checksum,
	}
	return []expr.Any{
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: address, Len: 4, DestRegister: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: a.AsSlice()},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: []byte{proto}},
		port(a16),
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: number(from)},
		&expr.Immediate{Register: a16, Data: binaryutil.BigEndian.PutUint16(to)},
		write,
	}
}
