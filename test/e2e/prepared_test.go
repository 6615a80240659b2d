package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// looksAround prints all that a container can see of how it was made.
const looksAround = `
exec 2>&1
for f in mountinfo cgroup limits status attr/current oom_score_adj coredump_filter timerslack_ns personality sched uid_map gid_map setgroups environ; do
	echo "== $f"; cat /proc/self/$f 2>&1 | tr '\0' '\n'
done
echo "== 1"; ls -l /proc/1/fd /proc/1/ns /proc/1/cwd /proc/1/root /proc/1/exe; tr '\0' ' ' </proc/1/cmdline
echo "== processes"; ls -d /proc/[0-9]*
for i in /sys/class/net/*; do
	echo "== $i"; for f in address flags mtu operstate type tx_queue_len group iflink ifindex; do echo "$f $(cat $i/$f 2>&1)"; done
done
for f in route if_inet6 dev fib_trie ipv6_route; do echo "== net/$f"; cat /proc/net/$f 2>&1; done
for f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/*/disable_ipv6 /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/kernel/hostname; do echo "$f $(cat $f 2>&1)"; done
echo "== files"; ls -lR /dev /etc; cat /etc/hosts /etc/resolv.conf; ls -la / /sys /proc | grep -v ' [0-9]*$'
id; umask; ulimit -a; pwd; hostname; trap
`

// moving is what no two containers have alike: ids, numbers that count up in the
// kernel, times, traffic so far.
var moving = []struct{ what, with string }{
	{`\b[0-9a-f]{12,64}\b`, "ID"},
	{`(?m)^\d+ \d+ (\d+:\d+) `, "MOUNT "},
	{`\b(0|ID):\d+\b`, "DEV"},
	{`master:\d+|shared:\d+|pipe:\[\d+\]|\w+:\[\d{6,}\]|anon_inode:\S+`, "OBJECT"},
	{`(?m)^(se|nr_|sum_|avg|mm|policy|clock|current_|numa|total_numa|prio|effective|uclamp|sched|ext|core).*$`, ""},
	{`(?m)^(Vm|Rss|Hugetlb|voluntary|nonvoluntary|Ngid|Cpus_allowed|Mems_allowed|Threads:|x86_|untag|SigQ|CoreDumping).*$`, ""},
	{`\d+ (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d+ [\d:]+`, "DATE"},
	{`(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d+ +[\d:]+`, "DATE"},
	{`(?m)^(iflink|ifindex) \d+$`, "$1 N"},
	{`(?m)^\s*(eth0|lo):.*$`, "$1: traffic"},
	{`\b(\d+\.){3}\d+\b`, "ADDRESS"},
	{`([0-9a-f]{2}:){5}[0-9a-f]{2}`, "MAC"},
	{`\b[0-9A-F]{8}\b`, "HEX"},
	// Threads that Go's runtime made before the program was executed have used numbers.
	{`(?m)^(Tgid|Pid|NStgid|NSpid):\t\d+`, "$1: N"},
	{`/proc/\d{2,}|self -> \d+(/task/\d+)?`, "/proc/N"},
	{`(?m)^dr-xr-xr-x +\d+ `, "dr-xr-xr-x N "}, // of procfs: one for each process of the host
	{`(?m)^sched .*|cat \(\d+.*$|\(\d+, #threads.*$`, ""},
}

func unmoved(text string) string {
	for _, m := range moving {
		text = regexp.MustCompile(m.what).ReplaceAllString(text, m.with)
	}
	return text
}

// ready counts what the engine has ready: monitors without a container, and
// ports of its bridge.
func ready(t *testing.T, d *engine.Daemon) (monitors, ports int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if comm, err := os.ReadFile(path); err == nil && string(comm) == "berth-monitor\n" {
			monitors++
		}
	}
	links, err := filepath.Glob("/sys/class/net/" + d.Bridge + "/brif/*")
	if err != nil {
		t.Fatal(err)
	}
	return monitors, len(links)
}

func becomes(t *testing.T, d *engine.Daemon, monitors, ports int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d monitors and %d ports", monitors, ports), func() []string {
		if m, p := ready(t, d); m != monitors || p != ports {
			return []string{fmt.Sprintf("there are %d and %d", m, p)}
		}
		return nil
	})
}

// TestPrepared: a container for which everything was ready looks as one does for
// which nothing was, also from the inside; there is never more ready than was
// asked for; and neither an engine that ends nor one that is killed leaves any.
func TestPrepared(t *testing.T) {
	d := newDaemon(t)
	look := func() string {
		return unmoved(must(t, d, "berth", "run", "--rm", "--name", "looks", "--hostname", "looks", "busybox", "sh", "-c", looksAround))
	}
	if err := d.Start(t.Context(), "--prepared", "0"); err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "pull", "-q", "busybox")
	becomes(t, d, 0, 0)
	cold := look()
	becomes(t, d, 0, 0)
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context(), "--prepared", "3"); err != nil {
		t.Fatal(err)
	}
	becomes(t, d, 3, 6)
	warm := look()
	if len(cold) < 4000 || !strings.Contains(cold, "== net/route") {
		t.Fatalf("the container saw too little:\n%s", cold)
	}
	if cold != warm {
		t.Errorf("made cold and from the pool, containers differ:\n%s", firstDifference(cold, warm))
	}
	becomes(t, d, 3, 6)
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	becomes(t, d, 0, 0)
	if err := d.Start(t.Context(), "--prepared", "1"); err != nil {
		t.Fatal(err)
	}
	becomes(t, d, 1, 2)
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	becomes(t, d, 0, 0)
}

// firstDifference shows where two texts part.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			out = append(out, fmt.Sprintf("line %d: cold %q, ready %q", i, x[i], y[i]))
		}
		if len(out) == 10 {
			break
		}
	}
	if len(x) != len(y) {
		out = append(out, fmt.Sprintf("%d lines, %d lines", len(x), len(y)))
	}
	return strings.Join(out, "\n")
}
