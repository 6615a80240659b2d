package attack

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// idle starts a container that waits.
func idle(t *testing.T, flags ...string) string {
	t.Helper()
	id := strings.TrimSpace(must(t, append(append([]string{"run", "-d"}, flags...), "attacker", "sleep", "1000")...))
	t.Cleanup(func() {
		if out, err := berth(context.Background(), "rm", "-f", id); err != nil {
			t.Errorf("remove: %v\n%s", err, out)
		}
	})
	return id
}

// exec's process, too, runs from a program that nobody can write, and shows
// nobody what it has open (CVE-2019-5736, CVE-2016-9962).
func TestAttackExecProgram(t *testing.T) {
	before := programs(t)
	enemy := background(t, "attacker", "/attacker", "overwrite")
	for range 15 {
		must(t, "exec", enemy, "true")
		_, _ = berth(t.Context(), "exec", enemy, "/proc/self/exe")
	}
	if out := must(t, "logs", enemy); strings.Contains(out, "written") {
		t.Error(out)
	}
	if after := programs(t); after != before {
		t.Errorf("the programs were\n%sand are\n%s", before, after)
	}
}

// The working directory of exec leads nowhere outside (CVE-2024-21626), nor do
// links that the container has made.
func TestAttackExecWorkdir(t *testing.T) {
	id := idle(t)
	must(t, "exec", id, "ln", "-s", "/proc/1/root/../../proc/self/fd/4", "/link")
	dirs := []string{"/link", "/proc/1/cwd", "/proc/self/fd/1023", "/proc/self/fd/../root/.."}
	for n := 0; n <= 40; n++ {
		dirs = append(dirs, "/proc/self/fd/"+strconv.Itoa(n))
	}
	for _, dir := range dirs {
		out, err := berth(t.Context(), "exec", "-w", dir, id, "sh", "-c", "readlink /proc/self/cwd; ls ../../../../..")
		if err == nil && (!strings.HasPrefix(out, "/") || !strings.Contains(out, "attacker")) {
			t.Errorf("%s leads to\n%s", dir, out)
		}
	}
}

// A process of exec is made of the same as process 1, and what the container
// has put in the place of its files makes it nobody else.
func TestAttackExecGolden(t *testing.T) {
	id := idle(t, "--hostname", "box")
	compare(t, "testdata/exec.golden", normalize(t, must(t, "exec", id, "/attacker", "self")))
	must(t, "exec", id, "sh", "-c", `echo 'www-data:x:0x0:0::/:' >/etc/passwd; echo 'daemon:x:-1:' >/etc/group`)
	for _, who := range []string{"www-data", "0:daemon", "-1", "4294967296"} {
		if out, err := berth(t.Context(), "exec", "-u", who, id, "id"); err == nil {
			t.Errorf("%s is %s", who, out)
		}
	}
	must(t, "exec", id, "sh", "-c", "rm /etc/passwd; mkfifo /etc/passwd")
	if out, err := berth(t.Context(), "exec", "-u", "www-data", id, "id"); err == nil {
		t.Error(out)
	}
	// Only what the request says comes along.
	if out := must(t, "exec", "-e", "A=b", id, "env"); strings.Contains(out, "BERTH") || !strings.Contains(out, "A=b") {
		t.Error(out)
	}
}

// A change of limits leaves the devices forbidden.
func TestAttackUpdate(t *testing.T) {
	id := idle(t)
	if status, answer := post(t, "/containers/"+id+"/update", object{"Memory": 100 << 20, "MemorySwap": 200 << 20, "NanoCpus": 1_000_000_000}); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	out := must(t, "exec", id, "/attacker", "devices")
	if strings.Contains(out, "c 1:1 ") || strings.Contains(out, "b ") || !strings.Contains(out, "c 1:3") {
		t.Error(out)
	}
}

// A program of 32 bits under a profile that has only the machine's own calls is
// ended at its first call.
func TestAttackForeignABI(t *testing.T) {
	image(t, "small", "--file", small+"=/small")
	profile := filepath.Join(t.TempDir(), "profile.json")
	text := `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{"names": ["bpf"], "action": "SCMP_ACT_ERRNO"}]}`
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for program, ok := range map[string]bool{"/attacker": true, "/small": false} {
		if out, err := berth(t.Context(), "run", "--rm", "--security-opt", "seccomp="+profile, "small", program, "fds"); (err == nil) != ok {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
}
