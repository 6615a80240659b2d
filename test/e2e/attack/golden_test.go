package attack

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// TestAttackGolden keeps everything that a default container is made of where a
// review sees a change of it: what it can write below /proc and /sys, its
// mounts, devices, capabilities, filter, limits, descriptors and environment.
//
// Kernels differ in what they have. A line that begins with "?" need not be
// there; a line that is not in the file fails the test.
func TestAttackGolden(t *testing.T) {
	for name, flags := range map[string][]string{
		"default":    {},
		"user":       {"--user", "1000:1000", "--security-opt", "no-new-privileges"},
		"privileged": {"--privileged"},
	} {
		args := append(append([]string{"run", "--rm", "--hostname", "box"}, flags...), "attacker", "/attacker", "self")
		out := must(t, args...)
		if name == "privileged" { // the machine's own devices and files are many
			out, _, _ = strings.Cut(out, "== dev\n")
		}
		compare(t, "testdata/"+name+".golden", normalize(t, out))
	}
}

var (
	inode   = regexp.MustCompile(`^(\w+) \w+:\[(\d+)\]$`)
	masks   = regexp.MustCompile(`^(/proc/|/sys/firmware|/sys/devices/virtual|/sys/fs/)`)
	ordinal = regexp.MustCompile(`^\d+ \d+ \d+:\d+ `)
)

// kept are the lines of /proc/PID/status that say what a process may.
var kept = []string{"Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}

// normalize takes out what differs between runs and machines.
func normalize(t *testing.T, out string) []string {
	t.Helper()
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", daemon.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", daemon.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	section := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if s, ok := strings.CutPrefix(line, "== "); ok {
			section = s
			lines = append(lines, line)
			continue
		}
		switch section {
		case "status":
			name, value, _ := strings.Cut(line, ":")
			if !slices.Contains(kept, name) {
				continue
			}
			line = name + " " + strings.Join(strings.Fields(value), " ")
			if strings.HasPrefix(name, "Cap") && strings.Contains(string(status), strings.TrimSpace(value)) && !strings.HasSuffix(value, "0000000000000000") {
				line = name + " the daemon's"
			}
		case "namespaces":
			m := inode.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("namespace %q", line)
			}
			host, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", daemon.Pid(), m[1]))
			line = m[1] + map[bool]string{true: " the host's", false: " own"}[strings.Contains(host, "["+m[2]+"]")]
		case "limits":
			if strings.Contains(string(limits), line) {
				line = strings.TrimSpace(line[:26]) + ": the daemon's"
			}
		case "mounts":
			line = mountLine(line)
		case "descriptors":
			line = strings.TrimRight(line, ":")
		case "writable":
			line = "?" + line
		case "dev":
			if strings.HasPrefix(line, "/dev/core ") { // with /proc/kcore
				line = "?" + line
			}
		}
		lines = append(lines, line)
	}
	return slices.CompactFunc(lines, func(a, b string) bool { return a == b && !strings.HasPrefix(a, "==") })
}

// mountLine is "POINT TYPE OPTIONS | OPTIONS OF THE FILE SYSTEM".
func mountLine(line string) string {
	line = ordinal.ReplaceAllString(line, "")
	front, back, _ := strings.Cut(line, " - ")
	f, b := strings.Fields(front), strings.Fields(back)
	if len(f) < 3 || len(b) < 3 {
		return line
	}
	root, point, options := f[0], f[1], f[2:]
	kind, super := b[0], b[2]
	if strings.HasPrefix(point, "/sys/fs/cgroup/") {
		return "?/sys/fs/cgroup/* " + strings.Join(options, " ")
	}
	if kind == "devtmpfs" { // the null device of the host, whose /dev may be nosuid
		options[0] = strings.ReplaceAll(options[0], ",nosuid", "")
	}
	switch kind {
	case "overlay", "cgroup", "cgroup2", "devtmpfs", "ext4", "xfs", "btrfs":
		super = "…"
	case "tmpfs":
		super = regexp.MustCompile(`,?inode64`).ReplaceAllString(super, "")
	}
	if strings.HasPrefix(point, "/etc/") {
		root, kind, super = "…", "…", "…"
	}
	if root == "/" || kind == "overlay" || kind == "cgroup" {
		root = ""
	}
	mark := ""
	if masks.MatchString(point) {
		mark = "?"
	}
	return mark + strings.Join(strings.Fields(point+" "+kind+" "+root+" "+strings.Join(options, " ")+" | "+super), " ")
}

func compare(t *testing.T, file string, got []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if *update {
		// What other kernels have stays.
		if err := os.WriteFile(file, []byte(strings.Join(merge(want, got), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for section, lines := range sections(got) {
		known := sections(want)[section]
		for _, l := range lines {
			if !slices.Contains(known, l) {
				t.Errorf("%s: %s: new: %s", file, section, l)
			}
		}
		for _, l := range known {
			if !strings.HasPrefix(l, "?") && !slices.Contains(lines, l) {
				t.Errorf("%s: %s: gone: %s", file, section, l)
			}
		}
	}
}

func sections(lines []string) map[string][]string {
	all := map[string][]string{}
	section := ""
	for _, l := range lines {
		if strings.HasPrefix(l, "== ") {
			section = l
		}
		all[section] = append(all[section], l)
	}
	return all
}

// merge is got with the optional lines of old that it lacks.
func merge(old, got []string) []string {
	before := sections(old)
	var out []string
	for i, l := range got {
		out = append(out, l)
		if i+1 < len(got) && !strings.HasPrefix(got[i+1], "== ") {
			continue
		}
		section := got[0]
		for _, g := range got[:i+1] {
			if strings.HasPrefix(g, "== ") {
				section = g
			}
		}
		for _, l := range before[section] {
			if strings.HasPrefix(l, "?") && !slices.Contains(got, l) {
				out = append(out, l)
			}
		}
	}
	return out
}
