package nft

import (
	"fmt"

	"github.com/google/nftables"
)

// Foreign lists chains of others that drop packets unless one of their own
// rules accepts them: "ip filter FORWARD". Forward holds those that forwarded
// packets pass, input those that packets to the host do.
func (t *Table) Foreign() (forward, input []string, err error) {
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
		if !ip || c.Hooknum == nil || c.Policy == nil || *c.Policy != nftables.ChainPolicyDrop {
			continue
		}
		name := family + " " + c.Table.Name + " " + c.Name
		switch *c.Hooknum {
		case *nftables.ChainHookForward:
			forward = append(forward, name)
		case *nftables.ChainHookInput:
			input = append(input, name)
		}
	}
	return forward, input, nil
}
