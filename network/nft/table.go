// Package nft keeps Berth's one nftables table: which published port leads to
// which container, who may reach a container unasked, whose address is hidden
// on the way out. Every change is one transaction, so that no packet ever sees
// half of one, and a port is an element of a map, so that its cost does not
// grow with the number of others.
//
// Nobody else's tables are touched. An accept here ends only our own chains: a
// host firewall that drops forwarded packets still does.
package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Network is what the table has to know of one bridge.
type Network struct {
	Bridge string
	Subnet netip.Prefix
	// Apart lists links between which the host forwarded nothing before the
	// engine switched forwarding on. It shall not do so now.
	Apart []string
}

// Port leads from an address and port of the host to one of a container.
type Port struct {
	HostIP        netip.Addr // 0.0.0.0: every address of the host
	HostPort      uint16
	Proto         uint8 // IPPROTO_TCP or IPPROTO_UDP
	ContainerIP   netip.Addr
	ContainerPort uint16
}

// Table is the connection to the kernel and the handles of what was made.
type Table struct {
	mu       sync.Mutex
	conn     *nftables.Conn
	table    *nftables.Table
	specific *nftables.Set  // address . protocol . port
	wildcard *nftables.Set  // protocol . port
	rules    map[string]int // how many each chain has
}

// Open connects to the kernel; nothing is changed yet.
func Open(name string) (*Table, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	t := &Table{conn: conn, table: &nftables.Table{Name: name, Family: nftables.TableFamilyIPv4}}
	destination := nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	t.specific = &nftables.Set{
		Table: t.table, Name: "published", IsMap: true, Concatenation: true,
		KeyType:  nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService),
		DataType: destination,
	}
	t.wildcard = &nftables.Set{
		Table: t.table, Name: "published_any", IsMap: true, Concatenation: true,
		KeyType:  nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
		DataType: destination,
	}
	return t, nil
}

// Name of the table.
func (t *Table) Name() string { return t.table.Name }

// Close ends the connection; the table stays.
func (t *Table) Close() error { return t.conn.CloseLasting() }

// Replace makes the table what n and ports say, in one transaction, whatever
// was there before.
func (t *Table) Replace(n Network, ports []Port) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Adding before deleting makes the deletion succeed on a fresh host, too.
	t.conn.AddTable(t.table)
	t.conn.DelTable(t.table)
	t.conn.AddTable(t.table)
	for _, set := range []*nftables.Set{t.specific, t.wildcard} {
		set.ID = 0
		if err := t.conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("nftables set %s: %w", set.Name, err)
		}
	}
	if err := t.chains(n); err != nil {
		return err
	}
	if err := t.elements(ports, t.conn.SetAddElements); err != nil {
		return err
	}
	return t.flush("replace table " + t.table.Name)
}

// Ports reads from the kernel what is published; nothing if there is no table.
func (t *Table) Ports() ([]Port, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there, err := t.there()
	if err != nil || !there {
		return nil, err
	}
	var out []Port
	for _, set := range []*nftables.Set{t.specific, t.wildcard} {
		elements, err := t.conn.GetSetElements(set)
		if errors.Is(err, unix.ENOENT) {
			continue // a table of another make
		}
		if err != nil {
			return nil, fmt.Errorf("nftables: read %s: %w", set.Name, err)
		}
		for _, e := range elements {
			if p, ok := parse(e, set == t.specific); ok {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

func parse(e nftables.SetElement, specific bool) (Port, bool) {
	p := Port{HostIP: netip.IPv4Unspecified()}
	key := e.Key
	if specific {
		if len(key) < 4 {
			return p, false
		}
		p.HostIP, key = netip.AddrFrom4([4]byte(key)), key[4:]
	}
	if len(key) < 8 || len(e.Val) < 8 {
		return p, false
	}
	p.Proto = key[0]
	p.HostPort = binary.BigEndian.Uint16(key[4:])
	p.ContainerIP = netip.AddrFrom4([4]byte(e.Val))
	p.ContainerPort = binary.BigEndian.Uint16(e.Val[4:])
	return p, true
}

// There tells whether the table exists.
func (t *Table) There() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.there()
}

func (t *Table) there() (bool, error) {
	tables, err := t.conn.ListTablesOfFamily(t.table.Family)
	if err != nil {
		return false, fmt.Errorf("nftables: list tables: %w", err)
	}
	return slices.ContainsFunc(tables, func(x *nftables.Table) bool { return x.Name == t.table.Name }), nil
}

// Intact tells whether the chains have the rules that Replace gave them.
func (t *Table) Intact() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, want := range t.rules {
		rules, err := t.conn.GetRules(t.table, &nftables.Chain{Name: name, Table: t.table})
		if errors.Is(err, unix.ENOENT) || err == nil && len(rules) != want {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("nftables: read chain %s: %w", name, err)
		}
	}
	return true, nil
}

// Foreign lists chains of others that drop forwarded packets unless one of
// their own rules accepts them: "ip filter FORWARD".
func (t *Table) Foreign() ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	chains, err := t.conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("nftables: list chains: %w", err)
	}
	families := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyINet: "inet"}
	var out []string
	for _, c := range chains {
		family, ours := families[c.Table.Family]
		if !ours || c.Table.Name == t.table.Name || c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward {
			continue
		}
		if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			out = append(out, family+" "+c.Table.Name+" "+c.Name)
		}
	}
	return out, nil
}

// Add publishes ports; on an error none of them is.
func (t *Table) Add(ports []Port) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.elements(ports, t.conn.SetAddElements); err != nil {
		return err
	}
	return t.flush("publish ports")
}

// Remove takes ports back.
func (t *Table) Remove(ports []Port) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.elements(ports, t.conn.SetDeleteElements); err != nil {
		return err
	}
	return t.flush("take ports back")
}

// Delete removes the whole table.
func (t *Table) Delete() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn.AddTable(t.table)
	t.conn.DelTable(t.table)
	return t.flush("delete table " + t.table.Name)
}

func (t *Table) flush(what string) error {
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %s: %w", what, err)
	}
	return nil
}

// batch bounds how many elements one message carries, because a netlink
// message has a size.
const batch = 256

func (t *Table) elements(ports []Port, change func(*nftables.Set, []nftables.SetElement) error) error {
	var specific, wildcard []nftables.SetElement
	for _, p := range ports {
		e := nftables.SetElement{Val: append(padded(p.ContainerIP.AsSlice()), padded(bigEndian(p.ContainerPort))...)}
		key := append(padded([]byte{p.Proto}), padded(bigEndian(p.HostPort))...)
		if p.HostIP.IsUnspecified() {
			e.Key = key
			wildcard = append(wildcard, e)
		} else {
			e.Key = append(padded(p.HostIP.AsSlice()), key...)
			specific = append(specific, e)
		}
	}
	for set, list := range map[*nftables.Set][]nftables.SetElement{t.specific: specific, t.wildcard: wildcard} {
		for len(list) > 0 {
			n := min(len(list), batch)
			if err := change(set, list[:n]); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	return nil
}

// padded fills up to the four bytes that each part of a concatenation takes.
func padded(b []byte) []byte {
	return append(make([]byte, 0, 12), append(b, make([]byte, (4-len(b)%4)%4)...)...)
}

func bigEndian(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }

// Protocol turns tcp and udp into numbers (protocols(5)).
func Protocol(name string) (uint8, error) {
	switch name {
	case "tcp":
		return unix.IPPROTO_TCP, nil
	case "udp":
		return unix.IPPROTO_UDP, nil
	}
	return 0, fmt.Errorf("protocol %q cannot be published", name)
}

// rule adds a rule to a chain, its parts in order.
func (t *Table) rule(chain *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	t.rules[chain.Name]++
	t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: all})
}
