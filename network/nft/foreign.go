package nft

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Foreign is a chain of somebody else's that drops packets unless one of its
// rules accepts them: by its policy, or by a last rule for all packets.
type Foreign struct {
	Chain string // as nft(8) has it: "ip filter FORWARD"
	// Of is the program whose chain it is, by its names: "ufw", "firewalld"; "":
	// another.
	Of string
}

// String names the chain.
func (f Foreign) String() string {
	if f.Of == "" {
		return f.Chain
	}
	return f.Of + ": " + f.Chain
}

// Foreign lists such chains. Forward holds those that forwarded packets pass,
// input those that packets to the host do.
func (t *Table) Foreign() (forward, input []Foreign, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	chains, err := t.conn.ListChains()
	if err != nil {
		return nil, nil, fmt.Errorf("nftables: list chains: %w", err)
	}
	families := map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
	}
	for _, c := range chains {
		family, ip := families[c.Table.Family]
		if !ip || c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward && *c.Hooknum != *nftables.ChainHookInput {
			continue
		}
		drops, err := t.drops(c)
		if err != nil {
			return nil, nil, err
		}
		f := Foreign{family + " " + c.Table.Name + " " + c.Name, maker(c, chains)}
		switch {
		case !drops:
		case *c.Hooknum == *nftables.ChainHookForward:
			forward = append(forward, f)
		default:
			input = append(input, f)
		}
	}
	return forward, input, nil
}

// drops tells whether a chain drops what none of its rules accepts; t.mu is held.
func (t *Table) drops(c *nftables.Chain) (bool, error) {
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
		return true, nil
	}
	rules, err := t.conn.GetRules(c.Table, c)
	if err == nil {
		return len(rules) > 0 && dropsAll(rules[len(rules)-1]), nil
	}
	if errors.Is(err, unix.ENOENT) { // it has just been removed
		return false, nil
	}
	return false, fmt.Errorf("nftables: read chain %s %s: %w", c.Table.Name, c.Name, err)
}

// dropsAll tells whether a rule drops or rejects every packet.
func dropsAll(r *nftables.Rule) bool {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Reject:
			return true
		case *expr.Verdict:
			return e.Kind == expr.VerdictDrop
		case *expr.Target: // of iptables
			return e.Name == "REJECT" || e.Name == "DROP"
		default:
			return false
		}
	}
	return false
}

// maker is the program that a chain belongs to.
func maker(c *nftables.Chain, all []*nftables.Chain) string {
	if c.Table.Name == "firewalld" {
		return "firewalld"
	}
	for _, other := range all {
		same := other.Table.Family == c.Table.Family && other.Table.Name == c.Table.Name
		if same && (strings.HasPrefix(other.Name, "ufw-") || strings.HasPrefix(other.Name, "ufw6-")) {
			return "ufw"
		}
	}
	return ""
}
