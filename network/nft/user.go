package nft

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
)

// userPriority is just before our own forward chain.
var userPriority = new(*nftables.ChainPriorityFilter - 1)

// user is the table for the host's own rules about containers' traffic, and its
// chain. It is the user's: made if it is not there, and removed if it is empty.
func (t *Table) user() (*nftables.Table, *nftables.Chain) {
	accept := nftables.ChainPolicyAccept
	table := &nftables.Table{Name: t.table.Name + "-user", Family: t.table.Family}
	return table, &nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: userPriority, Policy: &accept,
	}
}

// makeUser makes the user's table if it is not there; t.mu is held.
func (t *Table) makeUser() error {
	table, chain := t.user()
	t.conn.AddTable(table)
	t.conn.AddChain(chain)
	return t.flush("make table " + table.Name)
}

// removeUser removes the user's table if nobody put anything into it; t.mu is
// held.
func (t *Table) removeUser() error {
	table, chain := t.user()
	chains, err := t.conn.ListChainsOfTableFamily(table.Family)
	if err != nil {
		return fmt.Errorf("nftables: list chains: %w", err)
	}
	own := slices.DeleteFunc(chains, func(c *nftables.Chain) bool { return c.Table.Name != table.Name })
	if len(own) != 1 || own[0].Name != chain.Name {
		return nil
	}
	rules, err := t.conn.GetRules(table, chain)
	if err != nil || len(rules) > 0 {
		return err
	}
	t.conn.DelTable(table)
	return t.flush("remove table " + table.Name)
}
