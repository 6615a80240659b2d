package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// fillUp writes to the file system of dir until it has no room and no inode
// left. The returned function gives the room back.
func fillUp(t *testing.T, dir string) (makeRoom func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	if err := os.Mkdir(ballast, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(ballast, "bytes"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	for i := 0; ; i++ {
		if err := os.Mkdir(filepath.Join(ballast, fmt.Sprint(i)), 0o700); err != nil {
			break
		}
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil || s.Bavail > 1 {
		t.Fatalf("%d blocks are free: %v", s.Bavail, err)
	}
	return func() {
		if err := os.RemoveAll(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// state is what inspect says of a container.
func state(t *testing.T, d *engine.Daemon, name string) string {
	t.Helper()
	return strings.TrimSpace(must(t, d, "docker", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name))
}

// refused runs a command that a full disk must make fail, and say so.
func refused(t *testing.T, d *engine.Daemon, args ...string) {
	t.Helper()
	if out, err := client(t, d, args...); err == nil || !strings.Contains(strings.ToLower(out), "no space left on device") {
		t.Errorf("%q: want an error about the full disk, got %v:\n%s", args, err, out)
	}
}

// TestFullDataRoot lives the life of containers on a data-root without room:
// what cannot be done says why, what needs no room works, and what inspect says
// is true before and after a restart of the daemon.
func TestFullDataRoot(t *testing.T) {
	d := newDaemon(t)
	mountTmpfs(t, d.DataRoot(), "size=24m,nr_inodes=4000")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "docker", "pull", "-q", "busybox")
	before := idle(t, d)
	must(t, d, "docker", "create", "--name", "made", "busybox", "echo", "hello")
	must(t, d, "docker", "run", "-d", "--name", "up", "busybox", "sh", "-c", "while read line; do echo $line; done; sleep 1000")
	if out, err := client(t, d, "docker", "run", "--name", "ended", "busybox", "sh", "-c", "echo done; exit 3"); err == nil || out != "done\n" {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, d, "docker", "run", "-d", "--name", "talks", "busybox", "sh", "-c", "while :; do echo one more line of many; done")
	makeRoom := fillUp(t, d.DataRoot())

	refused(t, d, "docker", "create", "--name", "no", "busybox")
	refused(t, d, "docker", "run", "--rm", "busybox", "true")
	refused(t, d, "docker", "volume", "create", "novolume")
	refused(t, d, "docker", "exec", "up", "sh", "-c", "echo x > /file")
	if out := must(t, d, "docker", "ps", "-a", "--format", "{{.Names}}"); strings.Contains(out, "no\n") {
		t.Errorf("a container that was refused is there:\n%s", out)
	}
	if out := must(t, d, "docker", "exec", "up", "echo", "hello"); out != "hello\n" {
		t.Errorf("exec says %q", out)
	}
	if out := must(t, d, "docker", "logs", "ended"); out != "done\n" {
		t.Errorf("logs says %q", out)
	}
	// A log that cannot be written holds nobody up, least of all the stop.
	must(t, d, "docker", "stop", "-t", "1", "talks")
	check := func(when, up string) {
		t.Helper()
		for name, want := range map[string]string{"made": "created 0", "up": up, "ended": "exited 3", "talks": "exited 137"} {
			if got := state(t, d, name); got != want {
				t.Errorf("%s: %s is %s, want %s", when, name, got, want)
			}
		}
	}
	check("full", "running 0")
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatalf("a daemon does not start on a full disk: %v", err)
	}
	check("after a restart", "running 0")
	must(t, d, "docker", "stop", "-t", "1", "up")
	check("after a stop", "exited 137")
	must(t, d, "docker", "rm", "talks")
	must(t, d, "docker", "rm", "-f", "up")
	makeRoom()
	if out := must(t, d, "docker", "start", "-a", "made"); out != "hello\n" {
		t.Errorf("with room again, it says %q", out)
	}
	must(t, d, "docker", "rm", "made", "ended")
	noLeak(t, d, before)
}

// TestFullExecRoot: no start succeeds without room for the monitor's files, and
// none is left half done. What runs is still there.
func TestFullExecRoot(t *testing.T) {
	d := newDaemon(t)
	mountTmpfs(t, d.ExecRoot(), "size=256k,nr_inodes=64")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "docker", "pull", "-q", "busybox")
	before := idle(t, d)
	must(t, d, "docker", "run", "-d", "--name", "up", "busybox", "sleep", "1000")
	must(t, d, "docker", "create", "--name", "made", "busybox", "echo", "hello")
	makeRoom := fillUp(t, d.ExecRoot())

	refused(t, d, "docker", "start", "made")
	refused(t, d, "docker", "run", "--rm", "busybox", "true")
	if got := state(t, d, "made"); got != "created 128" {
		t.Errorf("the container that could not be started is %s", got)
	}
	if out := must(t, d, "docker", "exec", "up", "echo", "hello"); out != "hello\n" {
		t.Errorf("exec says %q", out)
	}
	if got := state(t, d, "up"); got != "running 0" {
		t.Errorf("what ran is %s", got)
	}
	must(t, d, "docker", "stop", "-t", "1", "up")
	if got := state(t, d, "up"); got != "exited 137" {
		t.Errorf("stopped: %s", got)
	}
	makeRoom()
	if out := must(t, d, "docker", "start", "-a", "made"); out != "hello\n" {
		t.Errorf("with room again, it says %q", out)
	}
	must(t, d, "docker", "rm", "made", "up")
	noLeak(t, d, before)
}
