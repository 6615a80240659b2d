package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/test/engine"
)

var modified = time.Unix(1_700_000_000, 0)

// mountTmpfs mounts a small filesystem for the length of the test. It must be
// called before the daemon starts, so that it is unmounted after its end.
func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o710); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsExecuted attaches strace to the daemon and runs containers in
// every network mode: no helper program may be started on the way.
func TestNothingIsExecuted(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	trace := filepath.Join(t.TempDir(), "trace")
	args := []string{"-f", "-qq", "-s", "200", "-e", "trace=execve,execveat", "-o", trace}
	for _, pid := range withDescendants(t, d.Pid()) { // monitors that are ready fork what containers are made of
		args = append(args, "-p", fmt.Sprint(pid))
	}
	strace := exec.CommandContext(t.Context(), "strace", args...)
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "strace to be attached", func() []string {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.Pid()))
		if err != nil || strings.Contains(string(status), "TracerPid:\t0\n") {
			return []string{"not traced yet"}
		}
		return nil
	})
	for _, network := range []string{"bridge", "bridge", "bridge", "none", "host"} {
		must(t, d, "berth", "run", "--rm", "--network", network, "-v", "named:/data", "busybox", "true")
	}
	must(t, d, "berth", "run", "--rm", "-p", "127.0.0.1::80", "busybox", "true")
	must(t, d, "berth", "run", "-d", "--name", "box", "busybox", "sleep", "1000")
	must(t, d, "berth", "exec", "box", "true")
	must(t, d, "berth", "rm", "-f", "box")
	// Interrupted, it lets each process go, and waits for ever for one that ends just then.
	// What it has seen is in the file: the processes waited for that.
	if err := strace.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = strace.Wait() // killed
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`exec(?:ve|veat)\((.*?), \[`)
	seen := 0
	for line := range strings.Lines(string(data)) {
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		seen++
		if what := m[1]; !strings.Contains(what, "/proc/self/fd/") && !strings.HasSuffix(what, `, ""`) && !strings.HasPrefix(what, `"/bin/true"`) && !strings.HasPrefix(what, `"/bin/sleep"`) {
			t.Errorf("executed %s", what)
		}
	}
	if seen == 0 {
		t.Error("strace saw no exec at all: the test does not see what it should")
	}
}

// withDescendants lists a process and all that came of it.
func withDescendants(t *testing.T, pid int) []int {
	t.Helper()
	pids := []int{pid}
	for _, child := range children(t, pid) {
		pids = append(pids, withDescendants(t, child)...)
	}
	return pids
}

// TestManyAtOnce runs 32 containers at once through the command line.
func TestManyAtOnce(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			out, err := client(t, d, "berth", "run", "--rm", "busybox", "echo", fmt.Sprint("number ", i))
			if err != nil || out != fmt.Sprintf("number %d\n", i) {
				t.Errorf("run %d: %v: %q", i, err, out)
			}
		})
	}
	wg.Wait()
	noLeak(t, d, before)
}

// TestSlowReader sends 64 MB through a container to a client that reads slowly;
// not a byte is lost or doubled.
func TestSlowReader(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	const size = 64 << 20
	cmd := exec.CommandContext(t.Context(), "/usr/bin/env", append(d.Environ(), "berth", "run", "--rm", "busybox", "sh", "-c",
		fmt.Sprintf("yes 0123456789abcdef | head -c %d", size))...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	buf := make([]byte, 16<<10)
	total := 0
	for chunk := 0; ; chunk++ {
		n, err := stdout.Read(buf)
		sum.Write(buf[:n])
		total += n
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if chunk%256 == 0 {
			time.Sleep(10 * time.Millisecond) // what makes this reader slow
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if total != size {
		t.Fatalf("%d bytes arrived, want %d", total, size)
	}
	all := sha256.New()
	if _, err := io.CopyN(all, &repeating{text: "0123456789abcdef\n"}, size); err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(all.Sum(nil)); got != want {
		t.Errorf("sha256 is %s, want %s", got, want)
	}
	noLeak(t, d, before)
}

// repeating reads the same text for ever.
type repeating struct {
	text string
	at   int
}

func (r *repeating) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

// TestMonitorKilled kills a container's monitor: the container ends with it,
// the record says so, and a restart policy applies.
func TestMonitorKilled(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	must(t, d, "berth", "run", "-d", "--name", "plain", "busybox", "sleep", "1000")
	must(t, d, "berth", "run", "-d", "--name", "again", "--restart", "always", "busybox", "sleep", "1000")
	for _, name := range []string{"plain", "again"} {
		if err := syscall.Kill(monitorOf(t, d, name), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the records to tell", func() []string {
		var left []string
		for name, want := range map[string]string{"plain": "exited 137", "again": "running 0"} {
			got := strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name))
			if got != want {
				left = append(left, name+" is "+got)
			}
		}
		return left
	})
	must(t, d, "berth", "rm", "-f", "plain", "again")
	noLeak(t, d, before)
}

// monitorOf finds the parent of a container's first process.
func monitorOf(t *testing.T, d *engine.Daemon, name string) int {
	t.Helper()
	pid := strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{.State.Pid}}", name))
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	var parent int
	for line := range strings.Lines(string(data)) {
		_, _ = fmt.Sscanf(line, "PPid: %d", &parent) // other lines do not match
	}
	if parent <= 1 {
		t.Fatalf("process %s has parent %d", pid, parent)
	}
	return parent
}
