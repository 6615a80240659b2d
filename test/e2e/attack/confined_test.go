package attack

import (
	"runtime"
	"strings"
	"testing"
)

// The default filter stops the calls by which kernels fell, from programs of
// 64 and 32 bits and by the 32-bit gate of a 64-bit one.
func TestAttackCalls(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Fatal("the table of this machine's second ways in is missing")
	}
	image(t, "small", "--file", small+"=/small")
	for _, program := range []string{"/attacker", "/small"} {
		for _, flags := range [][]string{{}, {"--security-opt", "no-new-privileges"}, {"--user", "1000"}, {"--init"}} {
			args := append(append([]string{"run", "--rm"}, flags...), "small", program, "calls")
			out := must(t, args...)
			if strings.Count(out, "\n") < 40 {
				t.Errorf("%q:\n%s", args, out)
			}
			for line := range strings.Lines(out) {
				name, errno, _ := strings.Cut(strings.TrimSpace(line), " ")
				for strings.Contains(errno, " ") { // names with spaces
					_, errno, _ = strings.Cut(errno, " ")
				}
				want := "1" // EPERM
				if name == "clone3" || name == "unknown" {
					want = "38" // ENOSYS, so that libraries fall back
				}
				if errno != want {
					t.Errorf("%q: %s", flags, line)
				}
			}
		}
	}
}

// Of the nodes that root of a container may make, it can open the devices that
// every container has.
func TestAttackDevices(t *testing.T) {
	for _, flags := range [][]string{{}, {"--cap-add", "ALL"}} {
		args := append(append([]string{"run", "--rm"}, flags...), "attacker", "/attacker", "devices")
		out := must(t, args...)
		for line := range strings.Lines(out) {
			kind, number, _ := strings.Cut(strings.TrimSpace(line), " ")
			number, _, _ = strings.Cut(number, " ")
			if kind != "c" || !strings.HasPrefix(number, "136:") && !strings.Contains(" 1:3 1:5 1:7 1:8 1:9 5:0 5:1 5:2 ", " "+number+" ") {
				t.Errorf("%q: %s", flags, line)
			}
		}
		if !strings.Contains(out, "c 1:3") {
			t.Errorf("no null device:\n%s", out)
		}
	}
}

// No control socket of the engine is within reach: no abstract one on the
// host's network, no port of a bridge's gateway.
func TestAttackSockets(t *testing.T) {
	// Connected pairs and sockets with a path have none of these lines.
	out := must(t, "run", "--rm", "--network", "host", "attacker", "/attacker", "sockets")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 8 && strings.HasPrefix(f[7], "@") && strings.Contains(strings.ToLower(line), "berth") {
			t.Errorf("abstract socket: %s", line)
		}
	}
	script := `g=$(ip route | sed -n 's/default via \([0-9.]*\).*/\1/p'); echo "gateway $g"
		for p in 1 22 53 80 443 2375 2376 2377 4243 5000 8080; do nc -w 1 "$g" $p </dev/null 2>/dev/null && echo "open $p"; done; true`
	out = must(t, "run", "--rm", "attacker", "sh", "-c", script)
	if !strings.Contains(out, "gateway ") || strings.Contains(out, "open 237") || strings.Contains(out, "open 4243") {
		t.Error(out)
	}
	// The sockets that have paths are not in any container.
	out = must(t, "run", "--rm", "--pid", "host", "--network", "host", "attacker", "sh", "-c", "find / -xdev -type s; find / -xdev -name '*.sock'")
	if strings.TrimSpace(out) != "" {
		t.Error(out)
	}
}
