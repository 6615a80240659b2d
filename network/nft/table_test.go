package nft

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// inNamespace moves the test's thread into a network namespace of its own,
// which ends with it.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread is thrown away
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

func ruleset(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nft", "--stateless", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
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
	network := Network{Bridge: "berth0", Subnet: netip.MustParsePrefix("172.17.0.0/16"), Apart: []string{"eth0", "wlan0"}}
	port := func(host string, hostPort uint16, proto uint8, n uint16) Port {
		return Port{netip.MustParseAddr(host), hostPort, proto, netip.MustParseAddr("172.17.0.2"), n}
	}
	ports := []Port{
		port("0.0.0.0", 8080, unix.IPPROTO_TCP, 80),
		port("127.0.0.1", 5353, unix.IPPROTO_UDP, 53),
	}
	for range 2 { // replacing is idempotent
		if err := table.Replace(network, ports); err != nil {
			t.Fatal(err)
		}
	}
	got := ruleset(t)
	const golden = "testdata/table.nft"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}

	back, err := table.Ports()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back, []Port{ports[1], ports[0]}) {
		t.Errorf("read back %v", back)
	}
	if foreign, err := table.Foreign(); err != nil || len(foreign) != 0 {
		t.Errorf("foreign %v, %v", foreign, err)
	}

	if ok, err := table.Intact(); err != nil || !ok {
		t.Errorf("intact %v, %v", ok, err)
	}

	more := []Port{port("0.0.0.0", 443, unix.IPPROTO_TCP, 443)}
	if err := table.Add(more); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(ruleset(t), "tcp . 443 : 172.17.0.2 . 443") {
		t.Errorf("the added port is not there:\n%s", ruleset(t))
	}
	if err := table.Remove(more); err != nil {
		t.Fatal(err)
	}
	if got := ruleset(t); got != string(want) {
		t.Errorf("after removal the table is\n%s", got)
	}
	if err := table.Delete(); err != nil {
		t.Fatal(err)
	}
	if ok, err := table.Intact(); err != nil || ok {
		t.Errorf("without a table: intact %v, %v", ok, err)
	}
	if back, err := table.Ports(); err != nil || len(back) != 0 {
		t.Errorf("without a table: ports %v, %v", back, err)
	}
	if got := ruleset(t); got != "" {
		t.Errorf("left: %s", got)
	}
}

// TestManyPorts publishes more ports than one message carries.
func TestManyPorts(t *testing.T) {
	inNamespace(t)
	table, err := Open("berth")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.Replace(Network{Bridge: "berth0", Subnet: netip.MustParsePrefix("10.0.0.0/24")}, nil); err != nil {
		t.Fatal(err)
	}
	var ports []Port
	for n := range uint16(3000) {
		ports = append(ports, Port{netip.IPv4Unspecified(), 10000 + n, unix.IPPROTO_UDP, netip.MustParseAddr("10.0.0.2"), 10000 + n})
	}
	if err := table.Add(ports); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(ruleset(t), "udp . "); n != len(ports) {
		t.Errorf("%d elements, want %d", n, len(ports))
	}
	slices.Reverse(ports)
	if err := table.Remove(ports); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(ruleset(t), "udp . "); n != 0 {
		t.Errorf("%d elements left", n)
	}
}
