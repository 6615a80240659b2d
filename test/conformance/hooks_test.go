package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestHooks is config.md's POSIX-platform hooks, with the steps of the life cycle
// that call them.
func TestHooks(t *testing.T) {
	const section = "config.md#posix-platform-hooks"
	rows := []must{
		{section, "called in their order, each in its step", hooksInOrder},
		{section, "the state on stdin", hooksState},
		{section, "args and env are the hook's own", hookArguments},
		{section, "a hook that takes too long is an error", refused(hooks(specs.Hook{Path: "/bin/sleep", Args: []string{"sleep", "100"}, Timeout: new(1)}))},
		{"config.md#prestart", "runs in the runtime namespaces", hookNamespaces("prestart", false)},
		{"config.md#createruntime-hooks", "runs in the runtime namespaces", hookNamespaces("createRuntime", false)},
		{"config.md#createcontainer-hooks", "runs in the container namespaces, its path found outside", hookNamespaces("createContainer", true)},
		{"config.md#startcontainer-hooks", "runs in the container namespaces, its path found inside", startContainerInside},
		{"config.md#poststart", "runs in the runtime namespaces", hookNamespaces("poststart", false)},
		{"config.md#poststop", "runs in the runtime namespaces", hookNamespaces("poststop", false)},
		{"runtime.md#lifecycle", "a prestart hook that fails stops the container", createHookFails("prestart")},
		{"runtime.md#lifecycle", "a createRuntime hook that fails stops the container", createHookFails("createRuntime")},
		{"runtime.md#lifecycle", "a createContainer hook that fails stops the container", createHookFails("createContainer")},
		{"runtime.md#lifecycle", "a startContainer hook that fails stops the container", startHookFails("startContainer")},
		{"runtime.md#lifecycle", "a poststart hook that fails stops the container", startHookFails("poststart")},
		{"runtime.md#lifecycle", "a poststop hook that fails is a warning and the others run", poststopFails},
		{"config.md#prestart", "is called when the environment is there and the root is still the runtime's", hookSees("prestart")},
		{"config.md#createruntime-hooks", "is called when the environment is there and the root is still the runtime's", hookSees("createRuntime")},
		{"config.md#createcontainer-hooks", "is called when the environment is there and the root is still the runtime's", hookSees("createContainer")},
		{"config.md#poststart", "is called before start returns, when the program runs", poststartBefore},
		{"config.md#poststop", "is called before delete returns, when the container is gone", poststopAfter},
	}
	for _, step := range steps {
		bad := func(h specs.Hook) edit { return func(s *specs.Spec) { add(s, step, h) } }
		rows = append(rows,
			must{section, step + ": an error for a path that is not absolute", refused(bad(specs.Hook{Path: "bin/true"}))},
			must{section, step + ": an error for no path", refused(bad(specs.Hook{}))},
			must{section, step + ": an error for a timeout of zero", refused(bad(specs.Hook{Path: "/bin/true", Timeout: new(0)}))},
			must{section, step + ": an error for a timeout below zero", refused(bad(specs.Hook{Path: "/bin/true", Timeout: new(-1)}))},
		)
	}
	hold(t, rows)
}

// hooks sets createRuntime hooks.
func hooks(list ...specs.Hook) edit {
	return func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: list} }
}

// hook makes one that runs a script on the host, or in the container.
func hook(script string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}
}

// add puts a hook at the end of a step's list.
func add(s *specs.Spec, step string, h specs.Hook) {
	if s.Hooks == nil {
		s.Hooks = &specs.Hooks{}
	}
	list := map[string]*[]specs.Hook{
		"prestart":      &s.Hooks.Prestart, //nolint:staticcheck // deprecated, and still a must
		"createRuntime": &s.Hooks.CreateRuntime, "createContainer": &s.Hooks.CreateContainer,
		"startContainer": &s.Hooks.StartContainer, "poststart": &s.Hooks.Poststart, "poststop": &s.Hooks.Poststop,
	}[step]
	*list = append(*list, h)
}

var steps = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

func hooksInOrder(t *testing.T) {
	// The program waits until poststart was seen, since that may be before it.
	b := newBox(t, sh("while ! grep -q poststart2 /log; do usleep 5000; done; echo program >>/log"))
	log := b.rootfs("log")
	check(t, os.WriteFile(log, nil, 0o666))
	for _, step := range steps {
		for _, n := range []string{"1", "2"} {
			where := log
			if step == "startContainer" {
				where = "/log"
			}
			add(b.spec, step, hook("echo "+step+n+" >>"+where))
		}
	}
	b.write()
	said := func() string {
		data, err := os.ReadFile(log)
		check(t, err)
		return strings.Join(strings.Fields(string(data)), " ")
	}
	b.mustCreate()
	if got, want := said(), "prestart1 prestart2 createRuntime1 createRuntime2 createContainer1 createContainer2"; got != want {
		t.Errorf("after create: %s", got)
	}
	b.mustStart()
	b.wait()
	_, err := b.do("delete", b.id)
	check(t, err)
	if got, want := said(), "prestart1 prestart2 createRuntime1 createRuntime2 createContainer1 createContainer2 startContainer1 startContainer2 poststart1 poststart2 program poststop1 poststop2"; got != want {
		t.Errorf("at the end: %s", got)
	}
}

func hooksState(t *testing.T) {
	b := newBox(t, sh("while [ ! -e /tmp/go ]; do usleep 5000; done"), func(s *specs.Spec) { s.Annotations = map[string]string{"k": "v"} })
	for _, step := range steps {
		where := b.rootfs("state." + step)
		if step == "startContainer" {
			where = "/state." + step
		}
		add(b.spec, step, hook("cat >"+where))
	}
	b.write()
	b.mustCreate()
	pid := b.last
	b.mustStart()
	check(t, os.WriteFile(b.rootfs("tmp/go"), nil, 0o644))
	b.wait()
	_, err := b.do("delete", b.id)
	check(t, err)
	status := map[string]specs.ContainerState{
		"prestart": "creating", "createRuntime": "creating", "createContainer": "creating",
		"startContainer": "created", "poststart": "running", "poststop": "stopped",
	}
	for _, step := range steps {
		data, err := os.ReadFile(b.rootfs("state." + step))
		check(t, err)
		var s specs.State
		if err := json.Unmarshal(data, &s); err != nil {
			t.Errorf("%s: %v: %q", step, err, data)
			continue
		}
		if s.ID != b.id || s.Bundle != b.bundle || s.Version == "" || s.Annotations["k"] != "v" || s.Status != status[step] {
			t.Errorf("%s: %s", step, data)
		}
		if inside := step == "createContainer" || step == "startContainer"; s.Pid != pid && step != "poststop" && !(inside && s.Pid == 1) {
			t.Errorf("%s: pid %d, not %d", step, s.Pid, pid)
		}
	}
}

func hookArguments(t *testing.T) {
	b := newBox(t)
	b.env = []string{"OF_THE_CALLER=1"}
	b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{
		{Path: "/bin/sh", Args: []string{"my-name", "-c", "tr '\\0' '\\n' </proc/$$/environ >" + b.bundle + "/env; echo $0 $1 >" + b.bundle + "/args", "zero", "one"}, Env: []string{"PATH=/usr/bin:/bin", "MINE=x y"}},
	}}
	b.write()
	b.mustCreate()
	for file, want := range map[string]string{"env": "PATH=/usr/bin:/bin\nMINE=x y\n", "args": "zero one\n"} {
		if got, err := os.ReadFile(filepath.Join(b.bundle, file)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
}

// hookNamespaces looks at the namespaces that a hook of this step runs in.
func hookNamespaces(step string, inside bool) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t)
		add(b.spec, step, hook("for n in mnt uts ipc net; do readlink /proc/self/ns/$n; done >"+b.rootfs("seen")))
		b.write()
		b.mustCreate()
		var ours, theirs []string
		for _, n := range []string{"mnt", "uts", "ipc", "net"} {
			o, err := os.Readlink("/proc/self/ns/" + n)
			check(t, err)
			c, err := os.Readlink(filepath.Join("/proc", itoa(b.last), "ns", n))
			check(t, err)
			ours, theirs = append(ours, o), append(theirs, c)
		}
		b.mustStart()
		b.wait()
		_, err := b.do("delete", b.id)
		check(t, err)
		want := ours
		if inside {
			want = theirs
		}
		data, err := os.ReadFile(b.rootfs("seen"))
		check(t, err)
		if got := strings.Fields(string(data)); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("in %v, not %v", got, want)
		}
	}
}

// hookSees looks from a hook of the create phase at process 1: it is in namespaces
// and groups of its own, and still sees the host's files.
func hookSees(step string) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t)
		// In the container's namespaces, the program that runs the hook is as good.
		pid := `pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/')`
		if step == "createContainer" {
			pid = "pid=self; cat >/dev/null"
		}
		add(b.spec, step, hook(pid+"; exec >"+b.bundle+"/seen; readlink /proc/$pid/ns/net; cat /proc/$pid/cgroup; ls /proc/$pid/root"+b.bundle+"/config.json"))
		b.write()
		b.mustCreate()
		data, err := os.ReadFile(filepath.Join(b.bundle, "seen"))
		check(t, err)
		net, err := os.Readlink(filepath.Join("/proc", itoa(b.last), "ns/net"))
		check(t, err)
		for _, want := range []string{net + "\n", b.id + "\n", "/config.json\n"} {
			if !strings.Contains(string(data), want) {
				t.Errorf("no %q in:\n%s", want, data)
			}
		}
	}
}

func poststartBefore(t *testing.T) {
	b := newBox(t, waits)
	add(b.spec, "poststart", hook(`pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/'); tr '\0' ' ' </proc/$pid/cmdline >`+b.bundle+"/seen"))
	b.write()
	b.mustCreate()
	if _, err := os.Stat(filepath.Join(b.bundle, "seen")); err == nil {
		t.Error("it was called by create")
	}
	b.mustStart()
	if data, err := os.ReadFile(filepath.Join(b.bundle, "seen")); err != nil || string(data) != "/bin/sleep 1000 " {
		t.Errorf("process 1 was %q, %v", data, err)
	}
}

func poststopAfter(t *testing.T) {
	b := newBox(t)
	add(b.spec, "poststop", hook("for d in /sys/fs/cgroup/*"+groupOf()+"/"+b.id+" /sys/fs/cgroup"+groupOf()+"/"+b.id+"; do [ ! -d $d ] || echo $d; done >"+b.bundle+"/left"))
	b.write()
	b.run()
	if _, err := os.Stat(filepath.Join(b.bundle, "left")); err == nil {
		t.Error("it was called before delete")
	}
	_, err := b.do("delete", b.id)
	check(t, err)
	if data, err := os.ReadFile(filepath.Join(b.bundle, "left")); err != nil || len(data) > 0 {
		t.Errorf("groups when it was called: %q, %v", data, err)
	}
}

func startContainerInside(t *testing.T) {
	b := newBox(t, sh("cat /from-hook; readlink /proc/self/ns/mnt"))
	add(b.spec, "startContainer", specs.Hook{Path: "/only-here", Args: []string{"only-here"}})
	b.write()
	check(t, os.WriteFile(b.rootfs("only-here"), []byte("#!/bin/sh\nreadlink /proc/self/ns/mnt >/from-hook\n"), 0o755))
	lines := strings.Fields(b.run())
	if len(lines) != 2 || lines[0] != lines[1] {
		t.Errorf("hook and program: %v", lines)
	}
}

func createHookFails(step string) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t)
		add(b.spec, step, hook("exit 3"))
		add(b.spec, step, hook("touch "+b.bundle+"/second"))
		add(b.spec, "poststop", hook("touch "+b.bundle+"/poststop"))
		b.write()
		if b.create() == nil {
			t.Fatal("create succeeds")
		}
		if b.exists() || len(groupsOf(b.id)) > 0 {
			t.Error("the container is left")
		}
		if _, err := os.Stat(filepath.Join(b.bundle, "second")); err == nil {
			t.Error("the hook after it ran")
		}
		if _, err := os.Stat(filepath.Join(b.bundle, "poststop")); err != nil {
			t.Error("the poststop hook did not run")
		}
	}
}

func startHookFails(step string) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t, sh("touch /ran; sleep 1000"))
		add(b.spec, step, hook("exit 3"))
		b.write()
		b.mustCreate()
		if b.start() == nil {
			t.Error("start succeeds")
		}
		if step == "startContainer" {
			if _, err := os.Stat(b.rootfs("ran")); err == nil {
				t.Error("the program ran")
			}
		}
		if _, err := reap(b.last); err != nil && strings.Contains(err.Error(), "wait") {
			t.Error(err)
		}
		b.last = 0
		if b.exists() && b.state().Status != specs.StateStopped {
			t.Errorf("it is %s", b.state().Status)
		}
	}
}

func poststopFails(t *testing.T) {
	b := newBox(t)
	add(b.spec, "poststop", hook("exit 3"))
	add(b.spec, "poststop", hook("touch "+b.bundle+"/second"))
	b.write()
	b.run()
	_, err := b.do("delete", b.id)
	check(t, err)
	if b.words("delete") == "" {
		t.Error("no warning")
	}
	if _, err := os.Stat(filepath.Join(b.bundle, "second")); err != nil {
		t.Error("the hook after it did not run")
	}
	if b.exists() {
		t.Error("the container is left")
	}
}
