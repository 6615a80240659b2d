package nft

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/test/golden"
)

// TestDocumented compares what docs/networking.md shows of `berth network rules`
// with what it prints: two containers on the default network, one of which
// publishes two ports. Elements of sets have no order of their own, rules have.
func TestDocumented(t *testing.T) {
	const page, begin, end = "../../docs/networking.md", "```\n# publish-policy docker\n", "```\n"
	inNamespace(t)
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	table, err := Open("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.Replace(State{
		Apart:    []string{"eth0", "wlan0"},
		Networks: []Network{{Bridge: "berth0", Subnets: []netip.Prefix{prefix("172.17.0.0/16")}}},
		Ports: []Port{
			{HostIP: netip.IPv4Unspecified(), HostPort: 8080, Proto: unix.IPPROTO_TCP, ContainerIP: addr("172.17.0.2"), ContainerPort: 80},
			{HostIP: addr("127.0.0.1"), HostPort: 5353, Proto: unix.IPPROTO_UDP, ContainerIP: addr("172.17.0.2"), ContainerPort: 53},
		},
	}); err != nil {
		t.Fatal(err)
	}
	guard, err := OpenGuard("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	if err := guard.Replace([]Holder{
		{Group: 7, Addresses: []netip.Addr{addr("172.17.0.1")}},
		{Group: 7, Link: "veth1", Addresses: []netip.Addr{addr("172.17.0.2")}},
		{Group: 7, Link: "veth2", Addresses: []netip.Addr{addr("172.17.0.3")}},
	}, false); err != nil {
		t.Fatal(err)
	}
	text, err := table.Text()
	if err != nil {
		t.Fatal(err)
	}
	more, err := guard.Text()
	if err != nil {
		t.Fatal(err)
	}
	text += more
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	shown, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s does not show the rules", page)
	}
	if *golden.Update {
		if err := os.WriteFile(page, []byte(before+begin+text+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	sameWords(t, page, shown, text)
	if got, want := rulesOf(shown), rulesOf(text); got != want {
		t.Errorf("%s shows the rules\n%s\nthey are\n%s", page, got, want)
	}
}

// rulesOf is the chains of tables, without their sets.
func rulesOf(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if inside = inside || strings.HasPrefix(line, "\tchain "); inside {
			b.WriteString(line)
		}
		inside = inside && line != "\t}\n"
	}
	return b.String()
}
