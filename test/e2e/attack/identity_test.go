package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever names a user, it is an error or the user that it says; never root
// by accident (CVE-2024-40635).
func TestAttackUsers(t *testing.T) {
	for _, who := range []string{
		"2147483648", "4294967295", "4294967296", "18446744073709551616", "-1", "0:-1", "0:4294967296", "0x0", "1e3", "+0", " 0", "nobody\nroot",
		strings.Repeat("9", 100), strings.Repeat("a", 10000),
	} {
		if out, err := berth(t.Context(), "run", "--rm", "--user", who, "attacker", "id"); err == nil {
			t.Errorf("%.20q is %s", who, out)
		}
	}
	if out := must(t, "run", "--rm", "--user", "2147483647:2147483647", "attacker", "id", "-u"); out != "2147483647\n" {
		t.Error(out)
	}
	if out := must(t, "run", "--rm", "--user", "www-data", "attacker", "id", "-G"); out != "33\n" {
		t.Error(out)
	}
	if out := must(t, "run", "--rm", "--user", "nobody", "--group-add", "daemon", "attacker", "id", "-G"); out != "65534 100 1\n" && out != "65534 1 100\n" {
		t.Error(out)
	}
	// The name comes from the image, too.
	image(t, "longname", "--user", strings.Repeat("a", 100_000))
	if out, err := berth(t.Context(), "run", "--rm", "longname", "id"); err == nil {
		t.Error(out)
	}
}

// A file with the users that has no end, or is a gigabyte long, costs a start
// and not the engine.
func TestAttackUserFiles(t *testing.T) {
	run := func(what string) {
		if out, err := berth(t.Context(), "run", "--rm", "--user", "www-data", "hostile", "id"); err == nil {
			t.Errorf("%s: %s", what, out)
		}
	}
	for what, target := range map[string]string{"zero": "/dev/zero", "memory": "/proc/self/mem", "loop": "passwd", "terminal": "/dev/tty"} {
		dir := t.TempDir()
		if err := os.Symlink(target, filepath.Join(dir, "passwd")); err != nil {
			t.Fatal(err)
		}
		image(t, "hostile", "--layer", dir+"=/etc")
		run(what)
	}
	// A container changes its own files and is started again.
	for what, script := range map[string]string{
		"sparse": "truncate -s 1G /etc/group",
		"fifo":   "rm /etc/passwd && mkfifo /etc/passwd",
		"device": "rm /etc/passwd && mknod /etc/passwd c 1 5",
	} {
		id := strings.TrimSpace(must(t, "create", "--user", "0:users", "attacker", "sh", "-c", script))
		if _, err := berth(t.Context(), "start", "-a", id); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if out, err := berth(t.Context(), "start", "-a", id); err == nil {
			t.Errorf("%s: started again: %s", what, out)
		}
		must(t, "rm", id)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", daemon.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 && kb > 400<<10 {
			t.Errorf("the daemon has used %d MB", kb>>10)
		}
	}
}

// Line breaks and NUL bytes in names and values stay what they are, or are
// refused: no second line in a file that the engine writes (CVE-2022-4318).
func TestAttackLines(t *testing.T) {
	for _, flags := range [][]string{
		{"--hostname", "a\nb"},
		{"--domainname", "a\n10.0.0.1 evil"},
		{"--add-host", "a\nb:1.2.3.4"},
		{"--add-host", "a b:1.2.3.4"},
		{"--dns-search", "a\nnameserver 6.6.6.6"},
		{"--dns-option", "x\nnameserver 6.6.6.6"},
		{"--sysctl", "net.ipv4.ip_forward=1\n+"},
		{"--name", "a\nb"},
		{"-v", "/tmp:/a\nb"},
		{"--env", "=x"},
		{"--ulimit", "core=0\n"},
		{"--cap-add", "CHOWN\nALL"},
	} {
		args := append(append([]string{"run", "--rm"}, flags...), "attacker", "cat", "/etc/hosts", "/etc/resolv.conf")
		if out, err := berth(t.Context(), args...); err == nil {
			t.Errorf("%q:\n%s", flags, out)
		}
	}
	// An environment variable may have lines; no file and no other variable
	// comes of it.
	out := must(t, "run", "--rm", "--env", "HOME=/x:/bin/sh\nroot::0:0::/:", "--env", "A=b\nLD_PRELOAD=/x", "--label", "l=a\nb", "attacker",
		"sh", "-c", "cat /etc/passwd; tr '\\0' '#' </proc/self/environ; cat /etc/hosts")
	if strings.Contains(out, "#LD_PRELOAD") || strings.Contains(strings.SplitN(out, "#", 2)[0], "root::0") {
		t.Error(out)
	}
}
