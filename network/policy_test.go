package network

import (
	"strings"
	"testing"
)

// TestPolicyHost: the host's input rules decide about published ports, and the
// container sees who calls.
func TestPolicyHost(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Policy = PolicyHost })
	a := w.attach("a", tcp("", 8080, 80), tcp("", 8090, 90), PortSpec{HostPort: 5353, ContainerPort: 53, Proto: "udp"})
	b := w.attach("b")
	a.serve(80, "a")
	a.serve(90, "a90")
	a.serveUDP(53, "a")
	sh(t, "nft add table inet ufw; nft add chain inet ufw input '{ type filter hook input priority 0; policy drop; }'; "+
		"nft add rule inet ufw input iif lo accept; nft add rule inet ufw input ct state established,related accept; "+
		"nft add rule inet ufw input meta l4proto icmp accept; "+
		"nft add rule inet ufw input th dport { 8080, 5353 } accept")
	defer sh(t, "nft delete table inet ufw")
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.want(w.outside, "udp", hostOutside+":5353", "a hello")
	for _, address := range []string{"127.0.0.1", "[::1]", hostOutside, "172.17.0.1"} {
		w.want(nil, "udp", address+":5353", "a hello")
	}
	w.refused(w.outside, "tcp", hostOutside+":8090")
	w.refused(w.outside, "tcp", a.ip()+":80")
	w.want(nil, "tcp", "127.0.0.1:8080", "a 172.17.0.1")
	w.want(nil, "tcp", "[::1]:8080", "a 172.17.0.1")
	w.want(nil, "tcp", hostOutside+":8080", "a 172.17.0.1")
	w.want(b.ns, "tcp", hostOutside+":8080", "a 172.17.0.1")
	w.want(b.ns, "tcp", a.ip()+":90", "a90 "+b.ip())
	if got := strings.Join(w.m.Warnings(), "\n"); strings.Contains(got, "go round it") {
		t.Errorf("warnings: %s", got)
	}

	// Nothing of it changes while the engine is gone.
	w.crash()
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.refused(w.outside, "tcp", hostOutside+":8090")
	w.start()
	w.adopt(a)
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	w.refused(w.outside, "tcp", hostOutside+":8090")
}

// TestPolicyLoopback: what names no address is for this host alone.
func TestPolicyLoopback(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Policy = PolicyLoopback })
	a := w.attach("a", tcp("", 8080, 80), tcp("0.0.0.0", 8081, 80), tcp("", 0, 80))
	a.serve(80, "a")
	if got := strings.Join(bindings(a.r), " "); !strings.Contains(got, "127.0.0.1:8080->80/tcp") || !strings.Contains(got, "::1:8080->80/tcp") {
		t.Errorf("bindings %s", got)
	}
	w.want(nil, "tcp", "127.0.0.1:8080", "a 172.17.0.1")
	w.want(nil, "tcp", "[::1]:8080", "a 172.17.0.1")
	w.refused(w.outside, "tcp", hostOutside+":8080")
	w.want(w.outside, "tcp", hostOutside+":8081", "a "+neighbour)
}

// TestPortWarnings: what others' firewalls do to published ports, the user is
// told, with the remedy; and the remedy is one.
func TestPortWarnings(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("", 8080, 80))
	a.serve(80, "a")
	told := func() string { return strings.Join(w.m.PortWarnings(), "\n") }
	if got := told(); got != "" {
		t.Errorf("without a firewall: %s", got)
	}
	for _, c := range []struct {
		name, rules, gone, remedy string
		words                     []string
		reached, after            bool // whether the port is; after: the remedy was applied
	}{
		{
			name:  "input policy",
			rules: "add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; }", gone: "delete table inet filter",
			words: []string{"inet filter input", "published ports go round it", `"publish-policy" to "host"`, "127.0.0.1"}, reached: true, after: true,
		}, {
			name: "ufw",
			rules: "add table ip filter; add chain ip filter ufw-before-input; add chain ip filter INPUT { type filter hook input priority 0; policy drop; }; " +
				"add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }", gone: "delete table ip filter",
			words: []string{"(ufw: ip filter INPUT)", "by ufw: ip filter FORWARD", "ufw route allow in on berth0 && ufw route allow out on berth0"},
		}, {
			name: "firewalld",
			rules: "add table inet firewalld; add chain inet firewalld filter_INPUT { type filter hook input priority 10; policy accept; }; " +
				"add rule inet firewalld filter_INPUT iif lo accept; add rule inet firewalld filter_INPUT counter reject with icmpx admin-prohibited", gone: "delete table inet firewalld",
			words: []string{"(firewalld: inet firewalld filter_INPUT)"}, reached: true, after: true,
		}, {
			name: "forwarding", remedy: "nft insert rule ip filter FORWARD iifname berth0 accept && nft insert rule ip filter FORWARD oifname berth0 accept",
			rules: "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }", gone: "delete table ip filter",
			words: []string{"dropped by ip filter FORWARD", "published ports are not reached"}, after: true,
		}, {
			name:  "a rule that drops some",
			rules: "add table ip filter; add chain ip filter INPUT { type filter hook input priority 0; policy accept; }; add rule ip filter INPUT tcp dport 1 drop", gone: "delete table ip filter",
			reached: true, after: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh(t, "nft '"+c.rules+"'")
			defer sh(t, "nft "+c.gone)
			got := told()
			if len(c.words) == 0 && got != "" {
				t.Errorf("told %s", got)
			}
			for _, x := range append(c.words, c.remedy) {
				if !strings.Contains(got, x) {
					t.Errorf("%q is not told: %s", x, got)
				}
			}
			reach := func(want bool) {
				t.Helper()
				if want {
					w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
				} else {
					w.refused(w.outside, "tcp", hostOutside+":8080")
				}
			}
			reach(c.reached)
			if c.remedy != "" {
				sh(t, c.remedy)
				reach(c.after)
			}
		})
	}
}

// TestPolicyHostTwice: two engines whose ports the host's own rules decide about
// do not depend on each other.
func TestPolicyHostTwice(t *testing.T) {
	host := func(o *Options) { o.Policy = PolicyHost }
	first := newWorld(t, host)
	second := &world{t: t, outside: first.outside, o: first.o}
	second.o.Bridge = "berth1"
	second.o.ExecRoot, second.o.DataRoot = t.TempDir(), t.TempDir()
	second.start()
	a, b := first.attach("a", tcp("", 8080, 80)), second.attach("b", tcp("", 8081, 80))
	a.serve(80, "a")
	b.serve(80, "b")
	first.want(first.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	first.want(first.outside, "tcp", hostOutside+":8081", "b "+neighbour)
	b.ns.Close()
	second.end()
	first.want(first.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	if got := strings.Count(sh(t, "ip rule"), "0xbe58"); got != 1 {
		t.Errorf("%d rules for marked packets", got)
	}
	if err := first.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	a.ns.Close()
	if err := first.m.Prune(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	first.stop()
	if got := sh(t, "ip rule; ip -6 rule; ip route show table 48728 2>/dev/null || true"); strings.Contains(got, "48728") || strings.Contains(got, "local") && strings.Contains(got, "default dev lo") {
		t.Errorf("left behind: %s", got)
	}
	first.start()
}
