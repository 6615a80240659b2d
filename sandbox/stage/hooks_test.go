package stage

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/sandbox/hook"
	compiler "github.com/berth-engine/berth/sandbox/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// diary returns a hook of the host that notes its kind, its namespaces and its
// state in a file.
func diary(file string, kind hook.Kind, then string) specs.Hook {
	script := `exec 8>>"$1"; { echo "$2" $(readlink /proc/self/ns/mnt /proc/self/ns/pid); cat; echo; } >&8; ` + then
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script, "sh", file, string(kind)}, Env: []string{"PATH=/bin:/usr/bin:/sbin:/usr/sbin"}}
}

type entry struct {
	kind     hook.Kind
	mnt, pid string
	state    specs.State
}

func readDiary(t *testing.T, file string) (entries []entry) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		var e entry
		f := strings.Fields(lines[i])
		if len(f) != 3 {
			t.Fatalf("%q", lines[i])
		}
		e.kind, e.mnt, e.pid = hook.Kind(f[0]), f[1], f[2]
		must(t, json.Unmarshal([]byte(lines[i+1]), &e.state))
		entries = append(entries, e)
	}
	return entries
}

func hookBox(t *testing.T, args ...string) (*box, *specs.Hooks, string) {
	t.Helper()
	b := newBox(t, defaultSpec(args...))
	b.config.State = &specs.State{Version: specs.Version, ID: "box", Bundle: b.dir, Annotations: map[string]string{"a": "b"}}
	b.config.Spec.Hooks = &specs.Hooks{}
	return b, b.config.Spec.Hooks, filepath.Join(t.TempDir(), "diary")
}

func TestHooks(t *testing.T) {
	noLeak(t)
	for _, reaper := range []bool{false, true} {
		b, h, file := hookBox(t, "/probe", "list", "/tmp")
		b.config.Reaper = reaper
		h.Prestart = []specs.Hook{diary(file, hook.Prestart, "")} //nolint:staticcheck // deprecated, but in use
		h.CreateRuntime = []specs.Hook{diary(file, hook.CreateRuntime, "")}
		// It finds itself in the container's root directory; what it mounts there stays.
		h.CreateContainer = []specs.Hook{diary(file, hook.CreateContainer, "mount -t tmpfs tmpfs tmp && : >tmp/mounted-by-hook")}
		// A program of the container, with the container's paths.
		h.StartContainer = []specs.Hook{{Path: "/probe", Args: []string{"hook", "create", "/tmp/started"}}}
		h.Poststart = []specs.Hook{diary(file, hook.Poststart, "")}
		h.Poststop = []specs.Hook{diary(file, hook.Poststop, "exit 1"), diary(file, hook.Poststop, "")}
		must(t, b.spawn())
		pid := b.process.Pid
		must(t, b.process.Start())
		must(t, b.process.RunHooks(hook.Poststart))
		if code := b.wait(); code != 0 || b.stdout.String() != "mounted-by-hook\nstarted\n" {
			t.Errorf("exit %d, %q", code, b.stdout.String())
		}
		if err := b.process.RunHooks(hook.Poststop); err == nil || !strings.Contains(err.Error(), "poststop hook #0") {
			t.Error(err)
		}
		own, err := os.Readlink("/proc/self/ns/mnt")
		must(t, err)
		want := []struct {
			kind   hook.Kind
			status specs.ContainerState
			pid    int
			host   bool
		}{
			{hook.Prestart, "creating", pid, true},
			{hook.CreateRuntime, "creating", pid, true},
			{hook.CreateContainer, "creating", 1, false},
			{hook.Poststart, "running", pid, true},
			{hook.Poststop, "stopped", 0, true},
			{hook.Poststop, "stopped", 0, true},
		}
		got := readDiary(t, file)
		if len(got) != len(want) {
			t.Fatalf("%+v", got)
		}
		for i, w := range want {
			g := got[i]
			if g.kind != w.kind || g.state.Status != w.status || g.state.Pid != w.pid || (g.mnt == own) != w.host ||
				g.state.ID != "box" || g.state.Bundle != b.dir || g.state.Annotations["a"] != "b" || g.state.Version != specs.Version {
				t.Errorf("%d: %+v, want %+v", i, g, w)
			}
		}
	}
}

// TestHookFails: nothing is left of the container, and poststop hooks have run.
func TestHookFails(t *testing.T) {
	noLeak(t)
	for _, kind := range []hook.Kind{hook.Prestart, hook.CreateRuntime, hook.CreateContainer} {
		b, h, file := hookBox(t, "/probe", "create", "/tmp/ran")
		list := []specs.Hook{diary(file, kind, "exit 0"), diary(file, kind, "echo because >&2; exit 9"), diary(file, kind, "exit 0")}
		switch kind {
		case hook.Prestart:
			h.Prestart = list //nolint:staticcheck // deprecated, but in use
		case hook.CreateRuntime:
			h.CreateRuntime = list
		default:
			h.CreateContainer = list
		}
		h.Poststop = []specs.Hook{diary(file, hook.Poststop, "")}
		err := b.spawn()
		want := fmt.Sprintf("error running %s hook #1: /bin/sh: exit status 9: because", kind)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		got := readDiary(t, file)
		if len(got) != 3 || got[2].kind != hook.Poststop || got[2].state.Status != "stopped" {
			t.Errorf("%s: %+v", kind, got)
		}
		if _, err := os.Stat(filepath.Join(b.upper, "tmp/ran")); err == nil {
			t.Error("the program has run")
		}
	}
}

func TestStartContainerHookFails(t *testing.T) {
	noLeak(t)
	for _, reaper := range []bool{false, true} {
		b, h, _ := hookBox(t, "/probe", "create", "/tmp/ran")
		b.config.Reaper = reaper
		b.config.Spec.Process.NoNewPrivileges = true
		h.StartContainer = []specs.Hook{{Path: "/probe", Args: []string{"hook", "exit", "0"}}, {Path: "/probe", Args: []string{"hook", "exit", "4"}}}
		must(t, b.spawn())
		err := b.process.Start()
		if err == nil || err.Error() != "container init: start: error running startContainer hook #1: /probe: exit status 4" {
			t.Error(err)
		}
		if code := b.wait(); code != 1 {
			t.Errorf("exit %d", code)
		}
		if _, err := os.Stat(filepath.Join(b.upper, "tmp/ran")); err == nil {
			t.Error("the program has run")
		}
	}
}

// TestStartContainerHookIsRestricted: it has what the program has.
func TestStartContainerHookIsRestricted(t *testing.T) {
	b, h, _ := hookBox(t, "/probe", "read", "/tmp/report")
	b.config.Spec.Process.User.UID = 1000
	b.config.Spec.Process.NoNewPrivileges = true
	profile := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}
	var err error
	b.config.Spec.Linux.Seccomp = profile
	b.config.Seccomp, err = compiler.Compile(profile)
	must(t, err)
	h.StartContainer = []specs.Hook{{Path: "/probe", Args: []string{"hook", "report", "/tmp/report"}, Env: []string{"OWN=1"}}}
	out, _ := b.run()
	for _, want := range []string{`\"UID\":1000`, `\"Env\":[\"OWN=1\"]`, `\"CapEff\":\"0000000000000000\"`, `\"NoNewPrivs\":\"1\"`, `\"Seccomp\":\"2\"`, `\"Hostname\":\"box\"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	for _, fd := range []string{`\"3 `, `\"4 `, `\"5 `} {
		if strings.Contains(out, fd) {
			t.Errorf("descriptors: %s", out)
		}
	}
}

// TestHookSeesNamespaces: the parent's hooks find the process in its namespaces.
func TestHookSeesNamespaces(t *testing.T) {
	b, h, file := hookBox(t, "/probe")
	h.CreateRuntime = []specs.Hook{{
		Path: "/bin/sh", Env: []string{"PATH=/bin:/usr/bin"},
		Args: []string{"sh", "-c", `pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/'); readlink /proc/$pid/ns/net /proc/$pid/ns/mnt >"$1"; ls /proc/$pid/root/"$2" >>"$1"`, "sh", file, b.dir},
	}}
	b.config.Spec.Root.Path = b.dir
	must(t, b.spawn())
	must(t, syscall.Kill(b.process.Pid, syscall.SIGKILL))
	got, err := os.ReadFile(file)
	must(t, err)
	lines := strings.Fields(string(got))
	net, _ := os.Readlink("/proc/self/ns/net")
	mnt, _ := os.Readlink("/proc/self/ns/mnt")
	if len(lines) < 3 || lines[0] == net || lines[1] == mnt || !strings.Contains(string(got), "probe\n") || !strings.Contains(string(got), "dev\n") {
		t.Errorf("%s", got)
	}
}
