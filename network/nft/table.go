// Package nft keeps Berth's one nftables table: which published port leads to
// which container, which networks reach each other, who may reach a container
// unasked, whose address is hidden on the way out. Every change is one
// transaction, so that no packet ever sees half of one. The rules are the same
// for any number of networks and ports, which are elements of sets: what one
// costs does not grow with the number of others.
//
// Nobody else's tables are touched. An accept here ends only our own chains: a
// host firewall that drops forwarded packets still does.
package nft

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Table is the connection to the kernel and what was made. It is safe for
// concurrent use.
type Table struct {
	mu       sync.Mutex
	conn     *nftables.Conn
	table    *nftables.Table
	sets     *sets
	networks []Network
	rules    map[string][]string // by chain, as nft(8) writes them
	order    []listed
	socket   *netlink.Conn
	shared   bool // others may change the table: not owned
	owned    bool
}

// listed is a chain as it is shown.
type listed struct{ name, hook string }

// Open connects to the kernel; nothing is changed yet.
func Open(name string) (*Table, error) {
	t := &Table{table: &nftables.Table{Name: name, Family: nftables.TableFamilyINet}}
	var err error
	t.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		t.socket = c
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	t.sets = newSets(t.table)
	return t, nil
}

// Name of the table; its family is inet.
func (t *Table) Name() string { return t.table.Name }

// Close ends the connection; the table stays.
func (t *Table) Close() error { return t.conn.CloseLasting() }

// Replace makes the table what s says, in one transaction, whatever was there
// before.
func (t *Table) Replace(s State) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.makeUser(); err != nil {
		return err
	}
	if err := t.empty(); err != nil {
		return err
	}
	for _, set := range t.sets.all {
		set.ID = 0
		if err := t.conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("nftables set %s: %w", set.Name, err)
		}
	}
	t.chains(s.Mark)
	t.networks = slices.Clone(s.Networks)
	c := t.content(s.Ports)
	for i := range s.Networks {
		t.sets.network(&s.Networks[i], c)
	}
	for i, names := range [][]string{s.Apart, s.Apart6} {
		for _, name := range names {
			c.add(t.sets.of[i].apart, link(name))
		}
	}
	if err := t.change(c, t.conn.SetAddElements); err != nil {
		return err
	}
	return t.flush("replace table " + t.table.Name)
}

// empty begins a transaction with a table that has nothing in it. A table that
// is ours alone must stay itself: what it has is removed one by one.
func (t *Table) empty() error {
	owned := false
	if !t.shared {
		var err error
		if owned, err = t.own(); err != nil {
			return err
		}
	}
	if !owned {
		// Adding before deleting makes the deletion succeed on a fresh host, too.
		t.conn.AddTable(t.table)
		t.conn.DelTable(t.table)
		t.conn.AddTable(t.table)
		return nil
	}
	chains, err := t.conn.ListChainsOfTableFamily(t.table.Family)
	if err != nil {
		return fmt.Errorf("nftables: list chains: %w", err)
	}
	sets, err := t.conn.GetSets(t.table)
	if err != nil {
		return fmt.Errorf("nftables: list sets: %w", err)
	}
	t.conn.FlushTable(t.table)
	// Elements lead to chains, so they go first.
	for _, set := range sets {
		t.conn.DelSet(&nftables.Set{Table: t.table, Name: set.Name})
	}
	for _, c := range chains {
		if c.Table.Name == t.table.Name {
			t.conn.DelChain(&nftables.Chain{Table: t.table, Name: c.Name})
		}
	}
	return nil
}

// AddNetwork lets a network in, with all that its containers may do.
func (t *Table) AddNetwork(n Network) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := content{}
	t.sets.network(&n, c)
	if err := t.change(c, t.conn.SetAddElements); err != nil {
		return err
	}
	if err := t.flush("add network " + n.Bridge); err != nil {
		return err
	}
	t.networks = append(t.networks, n)
	return nil
}

// RemoveNetwork takes back what AddNetwork did for the same value. Its ports
// must have been removed.
func (t *Table) RemoveNetwork(n Network) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := content{}
	t.sets.network(&n, c)
	if err := t.change(c, t.conn.SetDeleteElements); err != nil {
		return err
	}
	if err := t.flush("remove network " + n.Bridge); err != nil {
		return err
	}
	t.networks = slices.DeleteFunc(t.networks, func(x Network) bool { return reflect.DeepEqual(x, n) })
	return nil
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
	for i := range t.sets.of {
		f := &t.sets.of[i]
		for _, set := range []*nftables.Set{f.published, f.any, f.ranges, f.opened, f.direct} {
			elements, err := t.conn.GetSetElements(set)
			if errors.Is(err, unix.ENOENT) {
				continue // a table of another make
			}
			if err != nil {
				return nil, fmt.Errorf("nftables: read %s: %w", set.Name, err)
			}
			for _, e := range elements {
				out = append(out, f.parse(set, e)...)
			}
		}
	}
	return out, nil
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
		if errors.Is(err, unix.ENOENT) || err == nil && len(rules) != len(want) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("nftables: read chain %s: %w", name, err)
		}
	}
	return true, nil
}

// Add publishes ports; on an error none of them is.
func (t *Table) Add(ports []Port) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.change(t.content(ports), t.conn.SetAddElements); err != nil {
		return err
	}
	return t.flush("publish ports")
}

// Remove takes back ports that were added by one call.
func (t *Table) Remove(ports []Port) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.change(t.content(ports), t.conn.SetDeleteElements); err != nil {
		return err
	}
	return t.flush("take ports back")
}

// Delete removes the whole table.
func (t *Table) Delete() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.removeUser(); err != nil {
		return err
	}
	if there, err := t.there(); err != nil || !there {
		return err
	}
	t.conn.DelTable(t.table)
	t.owned = false
	return t.flush("delete table " + t.table.Name)
}

func (t *Table) flush(what string) error {
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %s: %w", what, err)
	}
	return nil
}
