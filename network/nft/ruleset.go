package nft

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ruleset is one table in the kernel: sets whose elements come and go, and
// chains that stay the same. It is safe for concurrent use.
type ruleset struct {
	mu     sync.Mutex
	conn   *nftables.Conn
	table  *nftables.Table
	all    []*nftables.Set
	rules  map[string][]string // by chain, as nft(8) writes them
	order  []listed
	socket *netlink.Conn
	shared bool // others may change the table: not owned
	owned  bool
}

// listed is a chain as it is shown.
type listed struct{ name, hook string }

// answers bounds what the kernel may say before it is read, in bytes: it answers
// each message of a transaction, some hundreds of them, and the default buffer
// has room for about 270 answers.
const answers = 8 << 20

// transaction bounds one transaction, in bytes: the kernel takes it in one piece
// (EMSGSIZE). The default has room for about 3,000 elements; all that there is at
// an engine's start may be tens of thousands, and so may ports of one container
// that are others on the host, because each is an element.
const transaction = 64 << 20

// connect opens the connection to the kernel; nothing is changed yet.
func (t *ruleset) connect(name string, family nftables.TableFamily) error {
	t.table = &nftables.Table{Name: name, Family: family}
	var err error
	t.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		t.socket = c
		return errors.Join(c.SetReadBuffer(answers), c.SetWriteBuffer(transaction))
	}))
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

// Name of the table.
func (t *ruleset) Name() string { return t.table.Name }

// Close ends the connection; the table stays.
func (t *ruleset) Close() error { return t.conn.CloseLasting() }

// addSets makes the sets, empty.
func (t *ruleset) addSets() error {
	for _, set := range t.all {
		set.ID = 0
		if err := t.conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("nftables set %s: %w", set.Name, err)
		}
	}
	return nil
}

// empty begins a transaction with a table that has nothing in it. A table that
// is ours alone must stay itself: what it has is removed one by one.
func (t *ruleset) empty() error {
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

// there tells whether the table exists.
func (t *ruleset) there() (bool, error) {
	tables, err := t.conn.ListTablesOfFamily(t.table.Family)
	if err != nil {
		return false, fmt.Errorf("nftables: list tables: %w", err)
	}
	return slices.ContainsFunc(tables, func(x *nftables.Table) bool { return x.Name == t.table.Name }), nil
}

// elements reads a set of a table that is there; none if the set is not: the table is
// of another version, or its making was killed.
func (t *ruleset) elements(set *nftables.Set) ([]nftables.SetElement, error) {
	// GetSetElements hides which error it was.
	_, err := t.conn.GetSetByName(t.table, set.Name)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("nftables: find %s: %w", set.Name, err)
	}
	elements, err := t.conn.GetSetElements(set)
	if err != nil {
		return nil, fmt.Errorf("nftables: read %s: %w", set.Name, err)
	}
	return elements, nil
}

// Intact tells whether the chains have the rules that Replace gave them.
func (t *ruleset) Intact() (bool, error) {
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

func (t *ruleset) flush(what string) error {
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %s: %w", what, err)
	}
	return nil
}
