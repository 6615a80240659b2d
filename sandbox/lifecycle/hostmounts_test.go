package lifecycle

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/sandbox/checkpoint"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// newHostLife is a bundle whose container is in our mount namespace. At the
// test's end, the mounts must be those of before.
func newHostLife(t *testing.T, change func(*specs.Spec), args ...string) *life {
	t.Helper()
	l := newLife(t, false, args...)
	spec := Example()
	spec.Process.Args, spec.Process.Terminal = append([]string{"/bin/busybox"}, args...), false
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace })
	spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = nil, nil
	if change != nil {
		change(spec)
	}
	text, err := json.Marshal(spec)
	if err == nil {
		err = os.WriteFile(filepath.Join(l.o.Bundle, "config.json"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	before := mountTable(t)
	t.Cleanup(func() {
		if after := mountTable(t); after != before {
			t.Errorf("mounts:\n%s\nbefore:\n%s", after, before)
		}
	})
	return l
}

func mountTable(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// below counts mounts at and below the root file system.
func (l *life) below(t *testing.T) (n int) {
	for line := range strings.Lines(mountTable(t)) {
		if point := strings.Fields(line)[4]; strings.HasPrefix(point+"/", filepath.Join(l.o.Bundle, "rootfs")+"/") {
			n++
		}
	}
	return n
}

// TestHostMounts: a container without a mount namespace of its own has its
// mounts in ours, a further process is in its root, and removing it takes away
// all of its mounts and no other.
func TestHostMounts(t *testing.T) {
	l := newHostLife(t, nil, "sleep", "1000")
	ctx := t.Context()
	rootfs := filepath.Join(l.o.Bundle, "rootfs")
	// Somebody's mount at the same place, as engines have it.
	if err := unix.Mount("tmpfs", filepath.Join(rootfs, "tmp"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(filepath.Join(rootfs, "tmp"), 0); err != nil {
			t.Error(err)
		}
	})
	if err := l.Create(ctx, "host", &l.o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Delete(t.Context(), "host", true) })
	s := l.is(t, "host", Created)
	ours, err1 := os.Readlink("/proc/self/ns/mnt")
	its, err2 := os.Readlink("/proc/" + strconv.Itoa(s.Pid) + "/ns/mnt")
	if err := errors.Join(err1, err2); err != nil || ours != its {
		t.Errorf("%s, ours %s (%v)", its, ours, err)
	}
	if _, err := os.Stat(filepath.Join(rootfs, "proc/1/stat")); err != nil {
		t.Errorf("its mounts are not ours: %v", err)
	}
	if err := l.Start(ctx, "host"); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]int{
		"test -x /bin/busybox && test ! -e /usr":                               0,
		"test -e /proc/self/stat && cd / && cd .. && test -x bin/busybox":      0,
		"for fd in /proc/self/fd/[3-9]*; do test ! -e $fd/etc || exit 1; done": 0,
		"exit 7": 7,
	} {
		status, err := l.Exec(ctx, "host", &ExecOptions{Program: l.o.Program, Process: func(p *specs.Process) (*specs.Process, error) {
			p.Args = []string{"/bin/busybox", "sh", "-c", script}
			return p, nil
		}})
		if err != nil || status != want {
			t.Errorf("%s: %d, %v", script, status, err)
		}
	}
	if err := l.Checkpoint(ctx, "host", &checkpoint.Dump{}); !errdefs.IsNotImplemented(err) {
		t.Errorf("checkpoint: %v", err)
	}
	if n := l.below(t); n < 5 {
		t.Errorf("%d mounts", n)
	}
	if err := l.Delete(ctx, "host", true); err != nil {
		t.Error(err)
	}
	if n := l.below(t); n != 1 {
		t.Errorf("%d mounts are left", n)
	}
}

// TestHostMountsCovered: of two containers at one place, the lower one cannot be
// removed, since that would take away what the other stands on.
func TestHostMountsCovered(t *testing.T) {
	l := newHostLife(t, nil, "sleep", "1000")
	for _, id := range []string{"lower", "upper"} {
		if err := l.Create(t.Context(), id, &l.o); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Delete(t.Context(), "lower", true); !errors.Is(err, unix.EBUSY) {
		t.Errorf("lower: %v", err)
	}
	l.is(t, "lower", Stopped)
	for _, id := range []string{"upper", "lower"} {
		if err := l.Delete(t.Context(), id, true); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestHostMountsRefused: what would change the host for others.
func TestHostMountsRefused(t *testing.T) {
	for want, change := range map[string]func(*specs.Spec){
		"unable to restrict sys entries": func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/proc/kcore"} },
		"which is not /":                 func(s *specs.Spec) { s.Root.Path = "/" },
		"its root may not mount": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		},
		"No such device": nil,
	} {
		if change == nil { // an error when most is mounted
			want = "no such device"
			change = func(s *specs.Spec) {
				s.Mounts = append(s.Mounts, specs.Mount{Type: "nosuchfs", Source: "x", Destination: "/mnt"})
			}
		}
		l := newHostLife(t, change, "true")
		if err := l.Create(t.Context(), "refused", &l.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestHostMountsKilled: whoever is killed while a container is made, its removal
// leaves nothing mounted.
func TestHostMountsKilled(t *testing.T) {
	for _, victim := range []string{"runtime", "process 1", "both"} {
		t.Run(victim, func(t *testing.T) {
			script := `read state; pid=${state#*\"pid\":}; pid=${pid%%[,\}]*}; `
			switch victim {
			case "runtime":
				script += "kill -9 $PPID"
			case "process 1":
				script += "kill -9 $pid"
			default:
				script += "kill -9 $PPID $pid"
			}
			l := newHostLife(t, func(s *specs.Spec) {
				s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}}}}
			}, "true")
			program := filepath.Join(filepath.Dir(l.o.Program), "berth-runtime")
			build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/berth-engine/berth/cmd/berth-runtime")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			out, err := exec.CommandContext(t.Context(), program, "--root", l.Dir, "create", "--bundle", l.o.Bundle, "killed").CombinedOutput()
			if err == nil {
				t.Errorf("create succeeds: %s", out)
			}
			if victim != "process 1" && l.below(t) == 0 {
				t.Errorf("killed before anything was mounted: %s", out)
			}
			if err := l.Delete(t.Context(), "killed", true); err != nil {
				t.Error(err)
			}
		})
	}
}
