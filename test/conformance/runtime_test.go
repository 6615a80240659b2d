package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestRuntime is runtime.md: the state, the life cycle and the operations.
func TestRuntime(t *testing.T) {
	hold(t, []must{
		{"runtime.md#state", "ociVersion id status pid bundle annotations", stateHasAll},
		{"runtime.md#state", "status goes created running stopped", statusChanges},
		{"runtime.md#lifecycle", "the program does not run at create", programWaits},
		{"runtime.md#lifecycle", "the environment exists once created", environmentExists},
		{"runtime.md#lifecycle", "updates to config.json have no effect after create", updatesIgnored},
		{"runtime.md#lifecycle", "a deleted container is undone", deleteUndoes},
		{"runtime.md#query-state", "an error without an ID", needsID("state")},
		{"runtime.md#query-state", "an error for a container that does not exist", needsContainer("state")},
		{"runtime.md#create", "an error without an ID", needsID("create")},
		{"runtime.md#create", "an error without a bundle", createNeedsBundle},
		{"runtime.md#create", "an error for an ID in use, which stays as it is", idInUse},
		{"runtime.md#create", "an error for an ID that is not valid", idInvalid},
		{"runtime.md#create", "an ID can be used again after delete", idAgain},
		{"runtime.md#start", "an error without an ID", needsID("start")},
		{"runtime.md#start", "an error for a container that does not exist", needsContainer("start")},
		{"runtime.md#start", "an error unless created, with no effect", startOnlyCreated},
		{"runtime.md#start", "runs the program", inside("it ran", "echo it ran")},
		{"runtime.md#start", "an error if process was not set", startNeedsProcess},
		{"runtime.md#kill", "an error without an ID", needsID("kill")},
		{"runtime.md#kill", "an error for a container that does not exist", needsContainer("kill")},
		{"runtime.md#kill", "an error for a stopped container, with no effect", killStopped},
		{"runtime.md#kill", "sends the signal to a created container", killCreated},
		{"runtime.md#kill", "sends the very signal to the program", killSends},
		{"runtime.md#delete", "an error without an ID", needsID("delete")},
		{"runtime.md#delete", "an error for a container that does not exist", needsContainer("delete")},
		// The text wants an error here. Engines count on what runc and crun do.
		{"runtime.md#delete", "a created container is killed and deleted", deleteCreated},
		{"runtime.md#delete", "an error for a running container, with no effect", deleteRunning},
		{"runtime.md#delete", "resources that create did not make stay", deleteKeeps},
		{"runtime-linux.md#file-descriptors", "0 1 2 are the caller's and no other is open", noOtherFile},
		{"runtime-linux.md#dev-symbolic-links", "fd stdin stdout stderr", inside("/proc/self/fd /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2",
			"for f in fd stdin stdout stderr; do readlink /dev/$f; done | xargs")},
		{"bundle.md", "config.json must be in the bundle", func(t *testing.T) {
			b := newBox(t)
			check(t, os.Remove(filepath.Join(b.bundle, "config.json")))
			if b.create() == nil {
				t.Error("create succeeds")
			}
		}},
	})
}

func stateHasAll(t *testing.T) {
	b := newBox(t, waits, func(s *specs.Spec) { s.Annotations = map[string]string{"org.example": "kept"} })
	b.mustCreate()
	s := b.state()
	if s.Version == "" || s.ID != b.id || s.Status != specs.StateCreated || s.Pid <= 0 || s.Bundle != b.bundle || s.Annotations["org.example"] != "kept" {
		t.Errorf("state: %+v", s)
	}
	out, err := b.do("state", b.id)
	check(t, err)
	var all map[string]any
	check(t, json.Unmarshal([]byte(out), &all))
	for _, name := range []string{"ociVersion", "id", "status", "pid", "bundle"} {
		if all[name] == nil {
			t.Errorf("state has no %s", name)
		}
	}
	if comm := b.proc("status"); !strings.Contains(comm, "Name:") {
		t.Errorf("pid %d is no process", s.Pid)
	}
}

func statusChanges(t *testing.T) {
	b := newBox(t, sh("while [ ! -e /tmp/go ]; do usleep 5000; done"))
	b.mustCreate()
	seen := []specs.ContainerState{b.state().Status}
	b.mustStart()
	s := b.state()
	if s.Pid != b.last {
		t.Errorf("pid %d while running, %d when created", s.Pid, b.last)
	}
	seen = append(seen, s.Status)
	check(t, os.WriteFile(b.rootfs("tmp/go"), nil, 0o644))
	b.wait()
	seen = append(seen, b.state().Status)
	if want := []specs.ContainerState{"created", "running", "stopped"}; !slices.Equal(seen, want) {
		t.Errorf("status went %v", seen)
	}
}

func programWaits(t *testing.T) {
	b := newBox(t, sh("echo x >/tmp/ran"))
	b.mustCreate()
	if _, err := os.Stat(b.rootfs("tmp/ran")); err == nil {
		t.Error("the program ran at create")
	}
	b.mustStart()
	b.wait()
	if _, err := os.Stat(b.rootfs("tmp/ran")); err != nil {
		t.Error("the program did not run at start")
	}
}

func environmentExists(t *testing.T) {
	b := newBox(t, waits, mounts("/made", "tmpfs", "tmpfs"))
	b.mustCreate()
	for _, ns := range []string{"mnt", "pid", "net", "ipc", "uts"} {
		theirs, err := os.Readlink(filepath.Join("/proc", itoa(b.last), "ns", ns))
		check(t, err)
		if ours, _ := os.Readlink("/proc/self/ns/" + ns); ours == theirs {
			t.Errorf("no %s namespace yet", ns)
		}
	}
	if len(groupsOf(b.id)) == 0 {
		t.Error("no control group yet")
	}
	if !strings.Contains(b.proc("mountinfo"), " /made ") {
		t.Error("no mount yet")
	}
}

func updatesIgnored(t *testing.T) {
	b := newBox(t, sh("echo old"))
	b.mustCreate()
	b.spec.Process.Args = []string{"/bin/echo", "new"}
	b.write()
	b.mustStart()
	b.wait()
	if out := b.output(); out != "old\n" {
		t.Errorf("printed %q", out)
	}
	check(t, os.Remove(filepath.Join(b.bundle, "config.json")))
	if _, err := b.do("delete", b.id); err != nil {
		t.Errorf("delete without config.json: %v", err)
	}
}

func deleteUndoes(t *testing.T) {
	b := newBox(t)
	b.run()
	_, err := b.do("delete", b.id)
	check(t, err)
	if b.exists() {
		t.Error("it still exists")
	}
	if left := groupsOf(b.id); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(b.root, "*", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	if strings.Contains(string(table), b.bundle) {
		t.Error("a mount is left on the host")
	}
}

func needsID(operation string) func(*testing.T) {
	return func(t *testing.T) {
		args := []string{operation}
		b := newBox(t)
		if operation == "create" {
			args = append(args, "--bundle", b.bundle)
		}
		if out, err := b.do(args...); err == nil {
			t.Errorf("%v succeeds: %s", args, out)
		}
	}
}

func needsContainer(operation string) func(*testing.T) {
	return func(t *testing.T) {
		if out, err := newBox(t).do(operation, "no-such-container"); err == nil {
			t.Errorf("%s succeeds: %s", operation, out)
		}
	}
}

func createNeedsBundle(t *testing.T) {
	b := newBox(t)
	if _, err := b.do("create", "--bundle", filepath.Join(b.bundle, "nowhere"), b.id); err == nil || b.exists() {
		t.Error("create succeeds")
	}
}

func idInUse(t *testing.T) {
	b := newBox(t, waits)
	b.mustCreate()
	before := b.state()
	second := newBox(t, waits)
	second.id, second.root = b.id, b.root
	if _, err := second.do("create", "--bundle", second.bundle, b.id); err == nil {
		t.Error("create succeeds")
	}
	if after := b.state(); after.Pid != before.Pid || after.Status != before.Status || after.Bundle != before.Bundle {
		t.Errorf("the first became %+v", after)
	}
}

func idInvalid(t *testing.T) {
	for _, id := range []string{"", "..", "../escape", "a/b", "a b", "a\nb", "a\x00b"[:1] + "$", "é"} {
		b := newBox(t, waits)
		if _, err := b.do("create", "--bundle", b.bundle, id); err == nil {
			t.Errorf("create %q succeeds", id)
			_, _ = b.do("delete", "--force", id)
		}
	}
}

func idAgain(t *testing.T) {
	b := newBox(t, sh("echo again"))
	b.run()
	_, err := b.do("delete", b.id)
	check(t, err)
	if out := b.run(); out != "again\n" {
		t.Errorf("printed %q", out)
	}
}

func startOnlyCreated(t *testing.T) {
	b := newBox(t, sh("echo once; while [ ! -e /tmp/go ]; do usleep 5000; done"))
	b.mustCreate()
	b.mustStart()
	if b.start() == nil {
		t.Error("start of a running container succeeds")
	}
	if s := b.state(); s.Status != specs.StateRunning || s.Pid != b.last {
		t.Errorf("it became %+v", s)
	}
	check(t, os.WriteFile(b.rootfs("tmp/go"), nil, 0o644))
	b.wait()
	if b.start() == nil {
		t.Error("start of a stopped container succeeds")
	}
	if out := b.output(); out != "once\n" {
		t.Errorf("it ran again: %q", out)
	}
}

func startNeedsProcess(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) { s.Process = nil })
	// The specification lets such a container be created; a runtime that
	// cannot says so then.
	if b.create() == nil && b.start() == nil {
		t.Error("start succeeds")
	}
}

func killStopped(t *testing.T) {
	b := newBox(t)
	b.run()
	before := b.state()
	if _, err := b.do("kill", b.id, "KILL"); err == nil {
		t.Error("kill succeeds")
	}
	if after := b.state(); after.Status != before.Status {
		t.Errorf("it became %+v", after)
	}
}

func killCreated(t *testing.T) {
	b := newBox(t, waits)
	b.mustCreate()
	_, err := b.do("kill", b.id, "KILL")
	check(t, err)
	if code, err := reap(b.last); err == nil {
		t.Errorf("it ended with %d", code)
	}
	b.last = 0
	if s := b.state(); s.Status != specs.StateStopped {
		t.Errorf("it became %s", s.Status)
	}
}

func killSends(t *testing.T) {
	for _, signal := range []string{"USR1", "SIGUSR1", "10"} {
		b := newBox(t, sh("trap 'echo usr1; exit' USR1; trap 'echo term; exit' TERM; echo ready; while :; do usleep 5000; done"))
		b.mustCreate()
		b.mustStart()
		eventually(t, "ready", func() bool { return strings.Contains(b.output(), "ready") })
		_, err := b.do("kill", b.id, signal)
		check(t, err)
		b.wait()
		if out := b.output(); out != "ready\nusr1\n" {
			t.Errorf("%s: printed %q", signal, out)
		}
	}
}

func deleteCreated(t *testing.T) {
	b := newBox(t, waits)
	b.mustCreate()
	_, err := b.do("delete", b.id)
	check(t, err)
	if b.exists() || len(groupsOf(b.id)) > 0 {
		t.Error("it is left")
	}
}

func deleteRunning(t *testing.T) {
	b := newBox(t, waits)
	b.mustCreate()
	b.mustStart()
	if _, err := b.do("delete", b.id); err == nil {
		t.Fatal("delete succeeds")
	}
	if s := b.state(); s.Status != specs.StateRunning || s.Pid != b.last {
		t.Errorf("it became %+v", s)
	}
}

func noOtherFile(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) { s.Process.Args = []string{"/bin/ls", "/proc/self/fd"} })
	if out := b.run(); out != "0\n1\n2\n3\n" { // 3 is the folder that ls reads
		t.Errorf("open: %q", out)
	}
}

func deleteKeeps(t *testing.T) {
	host := t.TempDir()
	check(t, os.WriteFile(filepath.Join(host, "kept"), nil, 0o644))
	b := newBox(t, mounts("/mnt", "bind", host, "bind"))
	b.run()
	_, err := b.do("delete", b.id)
	check(t, err)
	for _, path := range []string{filepath.Join(host, "kept"), b.rootfs("bin/busybox"), filepath.Join(b.bundle, "config.json")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
