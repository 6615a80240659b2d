package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// startAndKill makes a container, starts it, and kills the daemon before the state
// is in the record's file. It returns the process.
func startAndKill(t *testing.T, d *engine.Daemon, name string) (pid int) {
	t.Helper()
	for range 20 { // a busy machine may take longer than the daemon waits
		id := strings.TrimSpace(must(t, d, "berth", "create", "--name", name, "busybox", "sleep", "1000"))
		must(t, d, "berth", "start", name)
		pid, err := strconv.Atoi(strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{.State.Pid}}", name)))
		if err == nil {
			err = d.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
		record, err := os.ReadFile(filepath.Join(d.DataRoot(), "containers", id, "record.json"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(record, []byte(`"State":"created"`)) {
			return pid
		}
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		must(t, d, "berth", "rm", "-f", name)
	}
	t.Fatal("the state is always in the file before the daemon is killed")
	return 0
}

// TestStatesInLog: a daemon that is killed before it has written out what a
// container went through leaves that to the next one. Without it, the next one
// knows what the record says, and nothing runs that it does not know of.
func TestStatesInLog(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	says := func(want string) {
		t.Helper()
		if got := strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "xx")); got != want {
			t.Errorf("it is %q, want %q", got, want)
		}
	}
	pid := startAndKill(t, d, "xx")
	startWhole(t, d)
	says("running " + strconv.Itoa(pid))
	must(t, d, "berth", "rm", "-f", "xx")

	pid = startAndKill(t, d, "xx")
	for _, half := range []string{".states-0", ".states-1"} {
		path := filepath.Join(d.DataRoot(), "containers", half)
		log, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range log {
			log[i] ^= 0x55
		}
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startWhole(t, d)
	says("created 0")
	eventually(t, "the process that nobody knows of to end", func() []string {
		if err := syscall.Kill(pid, 0); err == nil {
			return []string{strconv.Itoa(pid)}
		}
		return nil
	})
	must(t, d, "berth", "start", "xx")
	must(t, d, "berth", "rm", "-f", "xx")
	noLeak(t, d, before)
}
