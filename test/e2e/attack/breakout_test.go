package attack

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/test/engine"
)

// programs are the hashes of the engine's files.
func programs(t *testing.T) string {
	t.Helper()
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range []string{"berth", "berthd", "berth-sandbox", "berth-netd"} {
		data, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x\n", name, sha256.Sum256(data))
	}
	return b.String()
}

// The program that makes containers runs as root in every one of them for a
// moment. An image whose entrypoint is an interpreter line with that program,
// and a neighbour in the same pid namespace, try to overwrite it
// (CVE-2019-5736).
func TestAttackProgram(t *testing.T) {
	before := programs(t)
	script := filepath.Join(t.TempDir(), "run")
	if err := os.WriteFile(script, []byte("#!/proc/self/exe\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	image(t, "selfexe", "--file", script+"=/run", "--entrypoint", "/run")
	enemy := background(t, "attacker", "/attacker", "overwrite")
	for range 10 {
		_, _ = berth(t.Context(), "run", "--rm", "selfexe")
		must(t, "run", "--rm", "--init", "--pid", "container:"+enemy, "attacker", "true")
	}
	init := strings.TrimSpace(must(t, "run", "-d", "--init", "attacker", "sleep", "1000"))
	pid := strings.TrimSpace(must(t, "inspect", "-f", "{{.State.Pid}}", init))
	sealed(t, "/proc/"+pid+"/exe")
	must(t, "rm", "-f", init)
	if out := must(t, "logs", enemy); strings.Contains(out, "written") {
		t.Error(out)
	}
	if after := programs(t); after != before {
		t.Errorf("the programs were\n%sand are\n%s", before, after)
	}
	must(t, "run", "--rm", "attacker", "true")
}

// sealed fails the test unless the program can never be written.
func sealed(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&want != want {
		t.Errorf("%s: seals %x, %v", path, seals, err)
	}
}

// A working directory of /proc/self/fd/N leads nowhere, whatever N
// (CVE-2024-21626). What a stage has open has small numbers, so that the
// numbers beyond need no container each.
func TestAttackWorkdir(t *testing.T) {
	where := func(dir string) {
		out, err := berth(t.Context(), "run", "--rm", "-w", dir, "attacker", "sh", "-c", "readlink /proc/self/cwd; ls ../../../../..")
		if err == nil && (!strings.HasPrefix(out, "/") || strings.Contains(out, "berth") || !strings.Contains(out, "attacker")) {
			t.Errorf("%s leads to\n%s", dir, out)
		}
	}
	numbers := []int{1023}
	for n := 3; n <= 40; n++ {
		numbers = append(numbers, n)
	}
	for _, n := range numbers {
		where("/proc/self/fd/" + strconv.Itoa(n))
	}
	for _, dir := range []string{"/proc/1/cwd", "/proc/1/root", "/proc/thread-self/root/../..", "/proc/self/task/1/cwd"} {
		where(dir)
	}
	link := t.TempDir()
	if err := os.Symlink("/proc/self/fd/7/../../..", filepath.Join(link, "work")); err != nil {
		t.Fatal(err)
	}
	image(t, "workdir", "--dir", link+"=/srv", "--workdir", "/srv/work")
	if out, err := berth(t.Context(), "run", "--rm", "workdir", "ls", "."); err == nil && strings.Contains(out, "berth") {
		t.Error(out)
	}
}

// A program is given its three streams.
func TestAttackDescriptors(t *testing.T) {
	for _, flags := range [][]string{{}, {"--init"}, {"-i"}, {"--network", "host"}, {"--privileged"}} {
		args := append(append([]string{"run", "--rm"}, flags...), "attacker", "/attacker", "fds")
		if out := must(t, args...); strings.Count(out, "\n") != 3 || !strings.HasPrefix(out, "0 ") {
			t.Errorf("%q:\n%s", flags, out)
		}
	}
}
