package network

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/nft"
)

// legacy is what Foreign.Of says of the iptables that nftables does not show.
const legacy = "iptables-legacy"

// PortWarnings tells who publishes ports what the host's other firewalls do to
// them, and what to do about it: go round by a published port, or drop what is
// forwarded to it.
func (m *Manager) PortWarnings() []string {
	forward, input := m.foreign()
	var out []string
	if len(forward) > 0 {
		out = append(out, forwardText(forward, m.home.bridge.Name()))
	}
	if len(input) > 0 && m.policy != PolicyHost {
		out = append(out, fmt.Sprintf("The host's firewall (%s) drops what it does not accept, but published ports go round it: "+
			`set "publish-policy" to "host" in daemon.json, so that it decides about them, or publish on 127.0.0.1`, list(input)))
	}
	return out
}

func list(chains []nft.Foreign) string {
	var names []string
	for _, f := range chains {
		names = append(names, f.String())
	}
	return strings.Join(names, ", ")
}

// forwardText names who drops forwarded packets, with what to do for each; the
// commands are those of Berth's default bridge and of the bridges of networks
// that somebody made.
func forwardText(chains []nft.Foreign, bridge string) string {
	var remedies []string
	add := func(text string) {
		if !slices.Contains(remedies, text) {
			remedies = append(remedies, text)
		}
	}
	for _, f := range chains {
		switch f.Of {
		case "ufw":
			add(fmt.Sprintf("ufw route allow in on %s && ufw route allow out on %s", bridge, bridge))
		case "firewalld":
			add(fmt.Sprintf("firewall-cmd --permanent --zone=trusted --add-interface=%s && firewall-cmd --reload", bridge))
		case legacy:
			add(fmt.Sprintf("iptables-legacy -I FORWARD -i %s -j ACCEPT && iptables-legacy -I FORWARD -o %s -j ACCEPT, or, if nobody needs it, iptables-legacy -P FORWARD ACCEPT", bridge, bridge))
		default:
			add(fmt.Sprintf("nft insert rule %s iifname %s accept && nft insert rule %s oifname %s accept", f.Chain, bridge, f.Chain, bridge))
		}
	}
	return fmt.Sprintf("Forwarded packets are dropped by %s unless a rule there accepts them: containers do not reach the network, and published ports are not reached from it. "+
		"Accept them: %s (the same for the bridges br-… of other networks); what Berth's own rules drop stays dropped", list(chains), strings.Join(remedies, "; "))
}

// foreign names what of others drops packets, forwarded ones and those to the
// host.
func (m *Manager) foreign() (forward, input []nft.Foreign) {
	forward, input, err := m.table.Foreign()
	if err != nil {
		m.log.Error("look for other firewalls", "error", err)
	}
	legacyInput, legacyForward := netlink.LegacyDrops()
	if legacyForward {
		forward = append(forward, nft.Foreign{Chain: "the legacy iptables' FORWARD", Of: legacy})
	}
	if legacyInput {
		input = append(input, nft.Foreign{Chain: "the legacy iptables' INPUT", Of: legacy})
	}
	return forward, input
}
