package hook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestMain(m *testing.M) {
	if os.Args[0] == Name {
		Main()
	}
	os.Exit(m.Run())
}

var created = &specs.State{Version: specs.Version, ID: "x", Status: specs.StateCreating, Pid: 7, Bundle: "/b", Annotations: map[string]string{"k": "v"}}

func sh(script string, args ...string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: append([]string{"sh", "-c", script, "sh"}, args...)}
}

func prestart(list ...specs.Hook) *specs.Hooks { return &specs.Hooks{Prestart: list} } //nolint:staticcheck // deprecated, but in use

func runners(t *testing.T) map[string]*Runner {
	t.Helper()
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exe.Close() })
	return map[string]*Runner{"direct": {}, "by way of Main": {Exe: exe}}
}

// A hook gets the state, its own arguments and environment, and no descriptor
// but three.
func TestWhatAHookGets(t *testing.T) {
	t.Setenv("LD_PRELOAD", "/evil.so")
	leak, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	for name, r := range runners(t) {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			h := sh(`exec >"$1"; cat; echo "$0"; tr '\0' '\n' </proc/$$/environ; ls /proc/$$/fd; exit 0`, out)
			h.Env = []string{"OWN=1"}
			if err := r.Run(t.Context(), Prestart, prestart(h), created); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			var got specs.State
			d := json.NewDecoder(strings.NewReader(string(b)))
			if err := d.Decode(&got); err != nil || !reflect.DeepEqual(&got, created) {
				t.Errorf("%s: %v", b, err)
			}
			rest, _ := io.ReadAll(d.Buffered())
			if string(rest) != "sh\nOWN=1\n0\n1\n2\n" {
				t.Errorf("arguments, environment, descriptors: %q", rest)
			}
		})
	}
}

// TestSignals: what the caller ignores, a hook by way of Main does not.
func TestSignals(t *testing.T) {
	signal.Ignore(syscall.SIGTERM)
	defer signal.Reset(syscall.SIGTERM)
	h := prestart(sh(`kill -TERM $$`))
	err := runners(t)["by way of Main"].Run(t.Context(), Prestart, h, created)
	if err == nil || !strings.Contains(err.Error(), "signal: terminated") {
		t.Error(err)
	}
}

func TestOrderAndErrors(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	note := func(n int, then string) specs.Hook { return sh("echo "+strconv.Itoa(n)+` >>"$1"; `+then, log) }
	h := &specs.Hooks{CreateRuntime: []specs.Hook{note(0, "exit 0"), note(1, "echo why >&2; exit 3"), note(2, "exit 0")}}
	for name, r := range runners(t) {
		t.Run(name, func(t *testing.T) {
			os.Remove(log)
			err := r.Run(t.Context(), CreateRuntime, h, created)
			if err == nil || err.Error() != "error running createRuntime hook #1: /bin/sh: exit status 3: why" {
				t.Error(err)
			}
			h.Poststop = append(h.CreateRuntime[1:], sh("kill -KILL $$"))
			err = r.RunEach(t.Context(), Poststop, h, created)
			if err == nil || err.Error() != "error running poststop hook #0: /bin/sh: exit status 3: why\n"+
				"error running poststop hook #2: /bin/sh: signal: killed" {
				t.Error(err)
			}
			if b, _ := os.ReadFile(log); string(b) != "0\n1\n1\n2\n" {
				t.Errorf("%q", b)
			}
			err = r.Run(t.Context(), Prestart, prestart(specs.Hook{Path: "/nosuch/hook"}), created)
			if err == nil || !strings.Contains(err.Error(), "prestart hook #0: /nosuch/hook: ") || !strings.Contains(err.Error(), "no such file") {
				t.Error(err)
			}
		})
	}
}

// TestTimeout: the hook and its children are killed. A context's end does the
// same.
func TestTimeout(t *testing.T) {
	one := 1
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// The child holds the fifo open for writing: its end is the reader's end.
	h := sh(`exec 9<>"$1"; echo begun >&9; sleep 1000 & sleep 1000`, fifo)
	h.Timeout = &one
	begun := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f, err := os.Open(fifo)
		if err != nil {
			return
		}
		defer f.Close()
		var b [6]byte
		_, _ = io.ReadFull(f, b[:])
		close(begun)
		_, _ = io.Copy(io.Discard, f)
	}()
	err := new(Runner).Run(t.Context(), Prestart, prestart(h), created)
	if err == nil || err.Error() != "error running prestart hook #0: /bin/sh did not end within 1 s and was killed" {
		t.Error(err)
	}
	<-ended
	<-begun

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		f, err := os.Open(fifo)
		if err == nil {
			var b [6]byte
			_, _ = io.ReadFull(f, b[:])
			f.Close()
		}
		cancel()
	}()
	h.Timeout = nil
	if err := new(Runner).Run(ctx, Prestart, prestart(h), created); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := new(Runner).Run(ctx, Prestart, prestart(h), created); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestStreams: a hook may leave its input alone, write a lot, and leave
// processes that hold its output.
func TestStreams(t *testing.T) {
	big := *created
	big.Annotations = map[string]string{"big": strings.Repeat("x", 1<<20)}
	out := filepath.Join(t.TempDir(), "out")
	pid := filepath.Join(t.TempDir(), "pid")
	for _, h := range []specs.Hook{
		sh(`exit 0`),
		sh(`exec <&-; exit 0`),
		sh(`i=0; while [ $i -lt 5000 ]; do echo "line $i of a talkative hook"; i=$((i+1)); done`),
		sh(`wc -c >"$1"`, out),
		sh(`sleep 1000 & echo $! >"$1"`, pid),
	} {
		if err := new(Runner).Run(t.Context(), Prestart, prestart(h), &big); err != nil {
			t.Error(err)
		}
	}
	if b, _ := os.ReadFile(out); len(b) < 7 {
		t.Errorf("%s bytes of state", b)
	}
	b, _ := os.ReadFile(pid)
	if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || syscall.Kill(n, syscall.SIGKILL) != nil {
		t.Errorf("%q: a process that the hook left is gone", b)
	}
	long := sh(`i=0; while [ $i -lt 5000 ]; do echo "line $i of a talkative hook"; i=$((i+1)); done; exit 1`)
	if err := new(Runner).Run(t.Context(), Prestart, prestart(long), created); err == nil || len(err.Error()) > maxOutput+100 {
		t.Errorf("%v", err)
	}
}

func TestValidate(t *testing.T) {
	zero := 0
	for _, h := range []specs.Hook{{Path: "x"}, {}, {Path: "/x", Timeout: &zero}, {Path: "/x\x00"}, {Path: "/x", Args: []string{"\x00"}}, {Path: "/x", Env: []string{"\x00"}}} {
		for _, hooks := range []*specs.Hooks{
			prestart(h),
			{CreateRuntime: []specs.Hook{h}},
			{CreateContainer: []specs.Hook{h}},
			{StartContainer: []specs.Hook{h}},
			{Poststart: []specs.Hook{h}},
			{Poststop: []specs.Hook{h}},
		} {
			if Validate(hooks) == nil {
				t.Errorf("%+v is accepted", hooks)
			}
		}
	}
	one := 1
	if err := Validate(prestart(specs.Hook{Path: "/x", Timeout: &one})); err != nil || Validate(nil) != nil {
		t.Error(err)
	}
	if n := reflect.TypeFor[specs.Hooks]().NumField(); n != len(Kinds) {
		t.Errorf("%d kinds of hooks, %d are known", n, len(Kinds))
	}
}
