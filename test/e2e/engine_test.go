package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/leak"
)

// newDaemon makes a daemon that reaches the shared Hub as docker.io. When the
// test ends, all its containers must be gone or are removed here, the daemon
// is stopped, and the host must look as before.
func newDaemon(t *testing.T, args ...string) *engine.Daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "be-") //nolint:usetesting // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	settle(t)
	before := hostState(t)
	d := engine.NewDaemon(dir, append([]string{"--registry-mirror", "http://" + hub.Addr}, args...)...)
	t.Cleanup(func() { finish(t, d, before) })
	return d
}

// finish stops the daemon and checks that nothing is left on the host.
func finish(t *testing.T, d *engine.Daemon, before leak.State) {
	t.Helper()
	if t.Failed() && d.Started() {
		t.Logf("berthd's log:\n%s", tail(d.Log(), 120))
	}
	if d.Started() {
		// Containers outlive their daemon, those of a failed story, too.
		if ids := strings.Fields(mustList(t, d)); len(ids) > 0 {
			if out, err := client(t, d, append([]string{"berth", "rm", "-f"}, ids...)...); err != nil {
				t.Errorf("remove what the story left: %v\n%s", err, out)
			}
		}
		if err := d.Stop(); err != nil {
			t.Errorf("stop the daemon: %v", err)
		}
	}
	// A story may have mounted a small filesystem there.
	for _, dir := range []string{d.DataRoot(), d.ExecRoot()} {
		if err := syscall.Unmount(dir, 0); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
			t.Errorf("unmount %s: %v", dir, err)
		}
	}
	if err := os.RemoveAll(d.Dir); err != nil {
		t.Errorf("something in the engine's folder is in use: %v", err)
	}
	eventually(t, "the host to look as before", func() []string {
		return leak.Diff(before, hostState(t))
	})
}

// mustList lists all containers, starting the daemon when a story left it down.
func mustList(t *testing.T, d *engine.Daemon) string {
	t.Helper()
	if !d.Running() {
		d.Bin = ""
		d.Setenv()
		if err := d.Start(context.Background()); err != nil {
			t.Error(err)
			return ""
		}
	}
	out, err := client(t, d, "berth", "ps", "-aq")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
		return ""
	}
	return out
}

// hostState reads everything that an engine could leave behind outside its own
// folder. Stories do not run beside other work, so nothing is filtered out but
// the Hub.
func hostState(t *testing.T, roots ...string) leak.State {
	t.Helper()
	// Clean-ups read it, too, when the test's own context has ended.
	s, err := leak.Read(context.Background(), roots, nil)
	if err != nil {
		t.Fatal(err)
	}
	s["process"] = slices.DeleteFunc(s["process"], func(name string) bool { return strings.HasPrefix(name, "berth-hub") })
	return s
}

// idle is the state of a running daemon's directories and of the host, to be
// compared before and after a story that must leave nothing.
func idle(t *testing.T, d *engine.Daemon) leak.State {
	t.Helper()
	taken(t, d)
	restocked(t, d)
	settle(t)
	return engineState(t, d)
}

// restocked waits until as many monitors are ready as there should be, and none has
// yet to be got ready or ended.
func restocked(t *testing.T, d *engine.Daemon) {
	t.Helper()
	want := 2
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	if _, after, ok := strings.Cut(string(cmdline), "--prepared\x00"); ok {
		number, _, _ := strings.Cut(after, "\x00")
		if want, err = strconv.Atoi(number); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "monitors to be ready", func() []string {
		ready, bare := 0, 0
		for _, pid := range children(t, d.Pid()) {
			if nameOf(pid) != "berth-monitor" {
				continue
			}
			switch stages := children(t, pid); {
			case len(stages) == 0:
				bare++
			case nameOf(stages[0]) == "berth-init":
				ready++
			}
		}
		if ready != want || bare > 0 {
			return []string{fmt.Sprintf("%d of %d are ready, %d have nothing", ready, want, bare)}
		}
		return nil
	})
}

// nameOf is the kernel's name of a process; "" if it has ended.
func nameOf(pid int) string {
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSuffix(string(comm), "\n")
}

// children lists those of a process.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			continue // the thread ended
		}
		for field := range strings.FieldsSeq(string(children)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	return pids
}

// taken waits until what has ended is taken away, which nobody waits for else.
func taken(t *testing.T, d *engine.Daemon) {
	t.Helper()
	eventually(t, "what has ended to be taken away", func() []string {
		left, err := filepath.Glob(filepath.Join(d.ExecRoot(), "containers/*"))
		if err != nil {
			t.Fatal(err)
		}
		live := must(t, d, "berth", "ps", "-q", "--no-trunc")
		return slices.DeleteFunc(left, func(dir string) bool { return strings.Contains(live, filepath.Base(dir)) })
	})
}

func engineState(t *testing.T, d *engine.Daemon) leak.State {
	t.Helper()
	return hostState(t, d.DataRoot(), d.ExecRoot())
}

// settle waits until no link comes or goes: those of containers that are gone
// vanish in the background, and must not be taken for such as have to stay.
func settle(t *testing.T) {
	t.Helper()
	var before []string
	for same := 0; same < 10; time.Sleep(20 * time.Millisecond) {
		now, err := filepath.Glob("/sys/class/net/*")
		if err != nil {
			t.Fatal(err)
		}
		if same++; !slices.Equal(now, before) {
			before, same = now, 0
		}
	}
}

// noLeak fails when the host or the engine's folders differ from before.
func noLeak(t *testing.T, d *engine.Daemon, before leak.State) {
	t.Helper()
	eventually(t, "nothing to be left behind", func() []string {
		return leak.Diff(before, engineState(t, d))
	})
}

// eventually polls until rest returns nothing; after twenty seconds it fails
// with what is still there. Tear-down is asynchronous by design.
func eventually(t *testing.T, what string, rest func() []string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left = rest(); len(left) == 0 {
			return
		}
	}
	t.Errorf("waited for %s in vain:\n%s", what, strings.Join(left, "\n"))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
