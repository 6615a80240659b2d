package nft

import (
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/test/golden"
)

// inNamespace moves the test's thread into a network namespace of its own,
// which ends with it.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread is thrown away
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

func listRuleset(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nft", "--stateless", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// spread makes a port one of those that several containers share.
func spread(p Port, slot, of int) []Port {
	p.Slot, p.Of = uint16(slot), uint16(of)
	return []Port{p}
}

// example has networks of every kind.
func example() State {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	port := func(host string, hostPort uint16, proto uint8, container string, n uint16) Port {
		return Port{HostIP: addr(host), HostPort: hostPort, Proto: proto, ContainerIP: addr(container), ContainerPort: n}
	}
	s := State{
		Apart:  []string{"eth0", "wlan0"},
		Apart6: []string{"eth0"},
		Mark:   0xbe57,
		Accept: Match{0x1, 0x3},
		Direct: true,
		Networks: []Network{
			{Bridge: "berth0", Subnets: []netip.Prefix{prefix("172.17.0.0/16")}},
			{Bridge: "br-nat", Subnets: []netip.Prefix{prefix("172.18.0.0/16"), prefix("fd00:18::/64")}, Trusted: []string{"eth1"}},
			{
				Bridge: "br-unprotected", Subnets: []netip.Prefix{prefix("172.19.0.0/16"), prefix("fd00:19::/64")},
				Gateway4: Unprotected, Gateway6: Unprotected, Source4: addr("198.51.100.9"),
			},
			{Bridge: "br-routed", Subnets: []netip.Prefix{prefix("172.20.0.0/16"), prefix("2001:db8::/64")}, Gateway4: Routed, Gateway6: Routed},
			{Bridge: "br-internal", Subnets: []netip.Prefix{prefix("172.21.0.0/16")}, Internal: true},
			{Bridge: "br-apart", Subnets: []netip.Prefix{prefix("172.22.0.0/16")}, NoICC: true, NoMasquerade: true},
		},
		Ports: []Port{
			port("0.0.0.0", 8080, unix.IPPROTO_TCP, "172.17.0.2", 80),
			port("127.0.0.1", 5353, unix.IPPROTO_UDP, "172.17.0.2", 53),
			port("::", 8080, unix.IPPROTO_TCP, "fd00:18::2", 80),
			{Proto: unix.IPPROTO_TCP, ContainerIP: addr("172.18.0.2"), ContainerPort: 80, Routed: true},
			{Proto: unix.IPPROTO_TCP, ContainerIP: addr("2001:db8::2"), ContainerPort: 443, Routed: true},
		},
	}
	for n := range uint16(100) {
		s.Ports = append(s.Ports, port("0.0.0.0", 10000+n, unix.IPPROTO_UDP, "172.18.0.3", 10000+n))
	}
	for i, a := range []string{"172.18.0.4", "172.18.0.5", "172.17.0.6"} {
		s.Ports = append(s.Ports, spread(port("0.0.0.0", 8000, unix.IPPROTO_TCP, a, 80), i, 3)...)
	}
	for i, a := range []string{"fd00:18::4", "fd00:18::5"} {
		s.Ports = append(s.Ports, spread(port("2001:db8::1", 8000, unix.IPPROTO_TCP, a, 80), i, 2)...)
		for n := range uint16(40) {
			s.Ports = append(s.Ports, spread(port("::", 7000+n, unix.IPPROTO_UDP, a, 7000+n), i, 2)...)
		}
	}
	return s
}

// TestTable is config in, rules out. The golden file is the table as people
// see it.
func TestTable(t *testing.T) {
	inNamespace(t)
	table, err := Open("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	table.shared = true // what this test is about is not whose it is
	state := example()
	for range 2 { // replacing is idempotent
		if err := table.Replace(state); err != nil {
			t.Fatal(err)
		}
	}
	got := listRuleset(t)
	golden.Compare(t, "table.nft", got)
	text, err := table.Text()
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(got, "\n}\n") // the user's table comes first
	sameWords(t, "as text", text, own)

	back, err := table.Ports()
	if err != nil {
		t.Fatal(err)
	}
	if len(back) != len(state.Ports) {
		t.Errorf("read back %d ports, want %d", len(back), len(state.Ports))
	}
	for _, p := range state.Ports {
		if !slices.Contains(back, p) {
			t.Errorf("%+v was not read back", p)
		}
	}
	if forward, input, err := table.Foreign(); err != nil || len(forward) != 0 || len(input) != 0 {
		t.Errorf("foreign %v, %v, %v", forward, input, err)
	}
	if ok, err := table.Intact(); err != nil || !ok {
		t.Errorf("intact %v, %v", ok, err)
	}

	more := []Port{{HostIP: netip.IPv4Unspecified(), HostPort: 443, Proto: unix.IPPROTO_TCP, ContainerIP: netip.MustParseAddr("172.17.0.2"), ContainerPort: 443}}
	if err := table.Change(nil, more); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(listRuleset(t), "tcp . 443 : 172.17.0.2 . 443") {
		t.Errorf("the added port is not there:\n%s", listRuleset(t))
	}
	if err := table.Change(more, nil); err != nil {
		t.Fatal(err)
	}
	same(t, got)
	for _, n := range state.Networks {
		if err := table.RemoveNetwork(n); err != nil {
			t.Fatal(err)
		}
	}
	if left := listRuleset(t); strings.Contains(left, "br-") {
		t.Errorf("removed networks are there:\n%s", left)
	}
	for _, n := range state.Networks {
		if err := table.AddNetwork(n); err != nil {
			t.Fatal(err)
		}
	}
	same(t, got)
	if err := table.Delete(); err != nil {
		t.Fatal(err)
	}
	if ok, err := table.Intact(); err != nil || ok {
		t.Errorf("without a table: intact %v, %v", ok, err)
	}
	if back, err := table.Ports(); err != nil || len(back) != 0 {
		t.Errorf("without a table: ports %v, %v", back, err)
	}
	if got := listRuleset(t); got != "" {
		t.Errorf("left: %s", got)
	}
}

// same compares tables whose elements may be in any order.
func same(t *testing.T, want string) {
	t.Helper()
	sameWords(t, "the table", listRuleset(t), want)
}

func sameWords(t *testing.T, what, got, want string) {
	t.Helper()
	words := func(s string) []string {
		all := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n,", r) })
		slices.Sort(all)
		return all
	}
	if a, b := words(got), words(want); !slices.Equal(a, b) {
		t.Errorf("%s is\n%s\nwant\n%s", what, got, want)
	}
}

// TestOtherVersion: tables that lack sets, since another version made them or their
// making was killed, are read for what they have, and replaced.
func TestOtherVersion(t *testing.T) {
	inNamespace(t)
	table, err := Open("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	guard, err := OpenGuard("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	table.shared, guard.shared = true, true // others write them here
	for _, r := range []*ruleset{&table.ruleset, &guard.ruleset} {
		r.conn.AddTable(r.table)
		if err := r.conn.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Text(); err != nil {
			t.Error(err)
		}
	}
	if ports, err := table.Ports(); len(ports) > 0 || err != nil {
		t.Errorf("%v, %v", ports, err)
	}
	if err := table.Replace(example()); err != nil {
		t.Error(err)
	}
	if err := guard.Replace(holders(), true); err != nil {
		t.Error(err)
	}
}

// TestManyPorts publishes more ports than one message carries, one by one and
// in a row.
func TestManyPorts(t *testing.T) {
	inNamespace(t)
	table, err := Open("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.Replace(State{Networks: []Network{{Bridge: "berth0", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}}}); err != nil {
		t.Fatal(err)
	}
	for shift, elements := range map[uint16]int{0: 1, 1: 3000} {
		var ports []Port
		for n := range uint16(3000) {
			ports = append(ports, Port{
				HostIP: netip.IPv4Unspecified(), HostPort: 10000 + n, Proto: unix.IPPROTO_UDP,
				ContainerIP: netip.MustParseAddr("10.0.0.2"), ContainerPort: 10000 + n + shift,
			})
		}
		if err := table.Change(nil, ports); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(listRuleset(t), "udp . "); n != elements {
			t.Errorf("%d elements, want %d", n, elements)
		}
		slices.Reverse(ports)
		if err := table.Change(ports, nil); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(listRuleset(t), "udp . "); n != 0 {
			t.Errorf("%d elements left", n)
		}
	}
}

// TestOwned: nobody takes away what protects containers, neither while the
// engine lives, nor by making it take over what it left.
func TestOwned(t *testing.T) {
	inNamespace(t)
	table, err := Open("berth")
	if err != nil {
		t.Fatal(err)
	}
	state := example()
	if err := table.Replace(state); err != nil {
		t.Fatal(err)
	}
	if !table.Owned() {
		table.Close()
		t.Skip("this kernel has no persistent owned tables")
	}
	ours := func() string {
		out, err := exec.CommandContext(t.Context(), "nft", "--stateless", "list", "table", "inet", "berth").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	want := ours()
	same := func(t *testing.T, want string) {
		t.Helper()
		sameWords(t, "the table", ours(), want)
	}
	try := func(line string) {
		t.Helper()
		_ = exec.CommandContext(t.Context(), "sh", "-c", line).Run() // it may say that it is not permitted
		same(t, want)
	}
	for _, line := range []string{
		"nft flush ruleset", "nft delete table inet berth", "nft flush table inet berth", "nft flush chain inet berth forward",
		"nft add rule inet berth forward accept", "nft delete element inet berth bridges '{ \"berth0\" }'",
	} {
		try(line)
	}
	for range 2 {
		if err := table.Replace(state); err != nil {
			t.Fatal(err)
		}
	}
	same(t, want)

	// The engine dies; the next one has it again.
	table.Close()
	if got := ours(); !strings.Contains(got, "chain toward") {
		t.Fatalf("the table went with its engine:\n%s", got)
	}
	if table, err = Open("berth"); err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if ports, err := table.Ports(); err != nil || len(ports) != len(state.Ports) {
		t.Errorf("%d ports, %v", len(ports), err)
	}
	if err := table.Replace(state); err != nil {
		t.Fatal(err)
	}
	if !table.Owned() {
		t.Error("the table was not taken over")
	}
	same(t, want)

	// The user's own rules stay the user's.
	const rule = "nft add rule inet berth-user forward ip saddr 203.0.113.9 drop"
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", rule).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := table.Replace(state); err != nil {
		t.Fatal(err)
	}
	if err := table.Delete(); err != nil {
		t.Fatal(err)
	}
	if got := listRuleset(t); !strings.Contains(got, "203.0.113.9") || strings.Contains(got, "inet berth {") {
		t.Errorf("left: %s", got)
	}
	if err := table.Replace(state); err != nil {
		t.Fatal(err)
	}
	try("nft flush ruleset")
	if err := table.Delete(); err != nil {
		t.Fatal(err)
	}
	if got := listRuleset(t); got != "" {
		t.Errorf("left: %s", got)
	}
}

// TestResolver: a resolver takes the place of an earlier one.
func TestResolver(t *testing.T) {
	inNamespace(t)
	at := netip.MustParseAddr("127.0.0.11")
	for _, ports := range [][2]uint16{{1000, 1001}, {2000, 2001}} {
		if err := Resolver(at, ports[0], ports[1]); err != nil {
			t.Fatal(err)
		}
		out := listRuleset(t)
		for _, want := range []string{
			fmt.Sprintf("udp dport 53 udp dport set %d", ports[0]), fmt.Sprintf("tcp dport 53 tcp dport set %d", ports[1]),
			fmt.Sprintf("udp sport %d udp sport set 53", ports[0]), fmt.Sprintf("tcp sport %d tcp sport set 53", ports[1]),
		} {
			if strings.Count(out, want) != 1 {
				t.Errorf("not %q in\n%s", want, out)
			}
		}
		if n := strings.Count(out, " set "); n != 4 {
			t.Errorf("%d rules in\n%s", n, out)
		}
	}
}
