package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/test/engine"
)

// TestDataRootOnOverlay: a data-root on overlayfs, as in a container, is refused
// with what to do about it.
func TestDataRootOnOverlay(t *testing.T) {
	d := newDaemon(t)
	layers := t.TempDir()
	for _, dir := range []string{filepath.Join(layers, "lower"), filepath.Join(layers, "top", "upper"), filepath.Join(layers, "top", "work"), d.DataRoot()} {
		if err := os.MkdirAll(dir, 0o710); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/top/upper,workdir=%[1]s/top/work", layers)
	if err := syscall.Mount("overlay", d.DataRoot(), "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	err := d.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is on overlayfs") || !strings.Contains(err.Error(), "-v berth-data:"+d.DataRoot()) {
		t.Errorf("%v", err)
	}
	if err := syscall.Unmount(d.DataRoot(), 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Errorf("on another file system: %v", err)
	}
}

// TestReboot simulates one: nothing runs, and what may vanish has vanished.
// Containers that are to run come back in the order of what they need, and the
// others are as they were left.
func TestReboot(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	run := func(name string, more ...string) {
		t.Helper()
		args := append([]string{"berth", "run", "-d", "--stop-timeout", "0", "--name", name, "--label", "com.docker.compose.project=p", "--label", "com.docker.compose.service=" + name}, more...)
		must(t, d, append(args, "busybox", "sleep", "1000")...)
	}
	run("db", "--restart", "unless-stopped", "-v", "data:/data")
	run("web", "--restart", "always", "--label", "com.docker.compose.depends_on=db:service_started:false", "-p", "127.0.0.1::80")
	run("side", "--restart", "always", "--network", "container:web", "--volumes-from", "db")
	run("once")
	run("stopped", "--restart", "unless-stopped")
	run("gone", "--rm")
	must(t, d, "berth", "stop", "stopped")
	var pids []int
	var ids []string
	for _, name := range []string{"side", "web", "db", "once", "gone"} {
		var pid int
		var id string
		if _, err := fmt.Sscan(must(t, d, "berth", "inspect", "-f", "{{.State.Pid}} {{.Id}}", name), &pid, &id); err != nil {
			t.Fatal(err)
		}
		pids, ids = append(pids, monitorOf(t, d, name), pid), append(ids, id)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // one may have ended with the other
	}
	killProcessesOf(t, d)
	eventually(t, "the groups to be empty", func() []string { return removeGroups(ids) })
	if err := os.RemoveAll(d.ExecRoot()); err != nil {
		t.Fatal(err)
	}
	since := fmt.Sprint(time.Now().Unix())
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the containers to be as they should", func() []string {
		var left []string
		for name, want := range map[string]string{
			"db": "running", "web": "running", "side": "running", "once": "exited", "stopped": "exited",
		} {
			if got := strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{.State.Status}}", name)); got != want {
				left = append(left, name+" is "+got)
			}
		}
		return left
	})
	out := must(t, d, "berth", "events", "--since", since, "--until", fmt.Sprint(time.Now().Unix()+1), "--filter", "event=start", "--format", "{{.Actor.Attributes.name}}")
	if got := strings.Fields(out); strings.Join(got, " ") != "db web side" {
		t.Errorf("started %q", got)
	}
	if out := must(t, d, "berth", "ps", "-aq", "--filter", "name=gone"); out != "" {
		t.Errorf("a container with --rm is left: %s", out)
	}
	if got := must(t, d, "berth", "inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", "once"); !strings.HasPrefix(got, "137 the container ended while the engine was not running") {
		t.Errorf("once: %s", got)
	}
	must(t, d, "berth", "rm", "-f", "db", "web", "side", "once", "stopped")
	must(t, d, "berth", "volume", "rm", "data")
	noLeak(t, d, before)
}

// removeGroups removes the cgroups of containers, as a reboot does, and returns
// those that are in use.
func removeGroups(ids []string) (left []string) {
	for _, id := range ids {
		for _, pattern := range []string{"/sys/fs/cgroup/*/berth/", "/sys/fs/cgroup/berth/"} {
			dirs, _ := filepath.Glob(pattern + id) // the pattern is right
			for _, dir := range dirs {
				if err := os.Remove(dir); err != nil {
					left = append(left, err.Error())
				}
			}
		}
	}
	return left
}

// killProcessesOf ends what an engine that was killed has left running.
func killProcessesOf(t *testing.T, d *engine.Daemon) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		args, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(args), d.ExecRoot()) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(name, "/proc/%d/cmdline", &pid); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
}

// TestRaces does to one container what clients may do at the same time. What
// remains tells the truth, can be removed, and nothing is left.
func TestRaces(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	for name, commands := range map[string][]string{
		"stop while starting":   {"start xx", "stop -t 0 xx", "start xx", "stop -t 0 xx"},
		"rm while exec":         {"start xx", "exec xx sleep 100", "exec xx true", "rm -f xx"},
		"renames":               {"rename xx yy", "rename xx zz", "rename xx yy", "start xx"},
		"32 starts":             nil,
		"pause and kill":        {"start xx", "pause xx", "unpause xx", "kill xx", "pause xx", "rm -f xx"},
		"updates":               {"start xx", "update -e A=1 xx", "update -e A=2 xx", "update --mount type=tmpfs,target=/scratch xx", "stop -t 0 xx"},
		"restart and removal":   {"restart -t 0 xx", "restart -t 0 xx", "rm -f xx", "rm -f xx"},
		"start, wait, and stop": {"start xx", "wait xx", "stop -t 0 xx", "wait xx"},
	} {
		t.Run(name, func(t *testing.T) {
			if commands == nil {
				for range 32 {
					commands = append(commands, "start xx")
				}
			}
			id := strings.TrimSpace(must(t, d, "berth", "create", "--name", "xx", "--stop-timeout", "0", "busybox", "sleep", "1000"))
			if strings.HasPrefix(commands[0], "start") && commands[1] != "start xx" {
				must(t, d, "berth", "start", "xx")
			}
			var wg sync.WaitGroup
			for _, c := range commands {
				wg.Go(func() {
					// Whether it succeeds depends on the others.
					out, err := client(t, d, append([]string{"berth"}, strings.Fields(c)...)...)
					if err != nil && strings.Contains(out, "panic") {
						t.Errorf("%s: %s", c, out)
					}
				})
			}
			done := make(chan struct{})
			go func() { wg.Wait(); close(done) }()
			for over := false; !over; {
				select {
				case <-done:
					over = true
				case <-time.After(100 * time.Millisecond):
					if strings.Contains(name, "wait") {
						// Somebody has to end it if a start came after the stop.
						_, _ = client(t, d, "berth", "kill", id)
					}
				}
			}
			if !d.Running() {
				t.Fatal("the daemon has died")
			}
			out, err := client(t, d, "berth", "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", id)
			if err == nil {
				f := strings.Fields(out)
				_, statErr := os.Stat("/proc/" + f[1])
				if runs := f[0] == "running" || f[0] == "paused"; runs != (f[1] != "0" && statErr == nil) {
					t.Errorf("inspect says %s: %v", out, statErr)
				}
				must(t, d, "berth", "rm", "-f", id)
			}
			noLeak(t, d, before)
		})
	}
}

// TestNetdKilledInUse kills berth-netd under a container with published ports:
// another one holds them, and a later container finds them taken.
func TestNetdKilledInUse(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "run", "-d", "--name", "web", "-p", "127.0.0.1:"+port+":80", "busybox", "sh", "-c", "echo here > /www; exec httpd -f -h / -p 80")
	get := func() []string {
		resp, err := http.Get("http://127.0.0.1:" + port + "/www")
		if err != nil {
			return []string{err.Error()}
		}
		resp.Body.Close()
		return nil
	}
	eventually(t, "an answer", get)
	killNetd(t, d)
	eventually(t, "an answer without netd's first process", get)
	eventually(t, "the port to be held", func() []string {
		out, err := client(t, d, "berth", "run", "--rm", "-p", "127.0.0.1:"+port+":80", "busybox", "true")
		if err == nil || !strings.Contains(out, "port is already allocated") {
			return []string{out}
		}
		return nil
	})
	must(t, d, "berth", "rm", "-f", "web")
	noLeak(t, d, before)
}

func killNetd(t *testing.T, d *engine.Daemon) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, name := range names {
		args, err := os.ReadFile(name)
		var pid int
		if err != nil || !strings.Contains(string(args), filepath.Join(d.ExecRoot(), "netd.sock")) {
			continue
		}
		if _, err := fmt.Sscanf(name, "/proc/%d/cmdline", &pid); err == nil {
			killed++
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if killed != 1 {
		t.Fatalf("%d processes are netd", killed)
	}
}

// TestExecsDieFirst ends a container with execs in it: their ends are told
// before its own.
func TestExecsDieFirst(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	const execs = 5
	for range 3 {
		since := fmt.Sprintf("%.3f", float64(time.Now().UnixMilli())/1000)
		id := strings.TrimSpace(must(t, d, "berth", "run", "-d", "busybox", "sleep", "1000"))
		for range execs {
			must(t, d, "berth", "exec", "-d", id, "sleep", "1000")
		}
		must(t, d, "berth", "kill", id)
		out := must(t, d, "berth", "events", "--since", since, "--until", fmt.Sprint(time.Now().Unix()+1), "--filter", "container="+id, "--format", "{{.Action}}")
		if got := strings.Fields(out); strings.Count(out, "exec_die") != execs || strings.LastIndex(out, "exec_die") > strings.Index(out, "\ndie") {
			t.Errorf("%q", got)
		}
		must(t, d, "berth", "rm", "-f", id)
	}
	noLeak(t, d, before)
}
