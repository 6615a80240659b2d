package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func descriptors(t testing.TB, pid int) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// TestMonitorProcess checks what a monitor is: its own session, not stopped by
// polite signals, and without descriptors of anything that it has given away.
func TestMonitorProcess(t *testing.T) {
	r := newRuntime(t, Options{})
	s := r.launch(t, bundle(t, "proc", "wait"))
	st := s.attachTest(t, both)
	s.startTest(t)
	expect(t, st, "ready\n")
	pid := s.process.pid
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	pgid, err := syscall.Getpgid(pid)
	if err != nil || pgid != pid {
		t.Errorf("process group %d of %d, %v", pgid, pid, err)
	}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || string(comm) != "berth-monitor\n" {
		t.Errorf("its name is %q, %v", comm, err)
	}
	running := links(t, pid)
	if i := slices.IndexFunc(running, func(l string) bool { return strings.Contains(l, "cpu.") }); i >= 0 {
		t.Errorf("the runtime holds %s", running[i]) // GODEBUG containermaxprocs
	}
	if n := len(running); n > 24 {
		t.Errorf("%d descriptors: %q", n, running)
	}
	if err := s.Signal(t.Context(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := s.waitTest(t); e.Code != 15 { // and the container did not inherit how signals are handled
		t.Errorf("%+v", e)
	}
	for _, l := range links(t, pid) {
		if strings.HasPrefix(l, "pipe:") || strings.HasSuffix(l, ".blk") {
			t.Errorf("after the end a monitor still holds %s of %q; before %q", l, links(t, pid), running)
		}
	}
	// The root file system goes last, when the end is known already.
	for deadline := time.Now().Add(answerWithin); slices.Contains(links(t, pid), "/"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after the end a monitor still holds the root file system: %q", links(t, pid))
		}
	}
}

func links(t testing.TB, pid int) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, fd := range fds {
		if l, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil {
			out = append(out, l)
		}
	}
	return out
}

// TestProgramStaysSmall fixes the size of berth-sandbox and what is linked
// into it.
func TestProgramStaysSmall(t *testing.T) {
	st, err := os.Stat(filepath.Join(programs, "berth-sandbox"))
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() > 3_050_000 {
		t.Errorf("berth-sandbox has %d bytes", st.Size())
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/berth-engine/berth/cmd/berth-sandbox").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		first, _, _ := strings.Cut(pkg, "/")
		ours, isOurs := strings.CutPrefix(pkg, "github.com/berth-engine/berth/")
		switch {
		case slices.Contains([]string{"net", "log/slog", "encoding/gob", "encoding/json", "os/exec", "text/template", "crypto/tls", "os/user"}, pkg):
			t.Errorf("berth-sandbox links %s", pkg)
		case strings.HasPrefix(pkg, "net/"), strings.HasPrefix(pkg, "crypto/") && !strings.HasPrefix(pkg, "crypto/internal"):
			t.Errorf("berth-sandbox links %s", pkg)
		case isOurs && !slices.Contains([]string{
			"cmd/berth-sandbox", "fault", "kernel/file", "kernel/mount", "kernel/netdev", "kernel/ns", "kernel/task", "kernel/timerslack",
			"sandbox/foreign", "sandbox/hook", "sandbox/logblock", "sandbox/monitor", "sandbox/stage", "sandbox/state",
		}, ours):
			t.Errorf("berth-sandbox links %s", pkg)
		case !isOurs && strings.Contains(first, ".") && !slices.Contains([]string{
			"github.com/containerd/errdefs", "github.com/opencontainers/runtime-spec/specs-go", "golang.org/x/sys/unix",
		}, pkg):
			t.Errorf("berth-sandbox links %s", pkg)
		}
	}
}
