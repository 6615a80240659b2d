package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
)

// withForeign runs a test with each runtime that Debian has.
func withForeign(t *testing.T, test func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle)) {
	for _, name := range []string{"runc", "crun"} {
		t.Run(name, func(t *testing.T) {
			path, err := exec.LookPath(name)
			if err != nil {
				t.Fatalf("%v; tools/setup installs it", err)
			}
			if controllers, err := os.ReadFile("/sys/fs/cgroup/unified/cgroup.controllers"); name == "crun" && err == nil && len(controllers) > 1 {
				t.Skipf("crun refuses a host with v2 controllers (%s) beside v1", controllers)
			}
			test(t, newRuntime(t, Options{}), func(b *Bundle) *Bundle {
				b.Runtime = []string{path}
				writable(t, b)
				return b
			})
		})
	}
}

// writable gives b a root in which mount points can be made: other runtimes
// need them.
func writable(t testing.TB, b *Bundle) {
	t.Helper()
	dir := t.TempDir()
	l := mount.Layers{Lower: []string{filepath.Join(programs, "root")}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	for _, d := range []string{l.Upper, l.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := mount.Overlay(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	b.Rootfs = root
}

func TestForeign(t *testing.T) {
	withForeign(t, func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle) {
		b := with(bundle(t, "run", "echo", "hello", "world"))
		net, err := ns.NewNetNS()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = net.Close() })
		b.NetNS = net
		s := r.launch(t, b)
		if s.Running() {
			t.Error("created, and running")
		}
		theirs, err := s.Namespace("net")
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		if same, err := ns.Same(net, theirs); err != nil || !same {
			t.Errorf("another network namespace: %v", err)
		}
		pids, err := s.Pids()
		if err != nil || len(pids) != 1 || pids[0] != s.Pid() {
			t.Errorf("in the group: %v, %v; process 1 is %d", pids, err, s.Pid())
		}
		st := s.attachTest(t, both)
		s.startTest(t)
		if out, err := output(t, st); out != "hello\n" || err != "world\n" {
			t.Errorf("%q, %q", out, err)
		}
		if e := s.waitTest(t); e.Code != 0 || e.StartedAt.IsZero() || e.Reason != "" {
			t.Errorf("%+v", e)
		}
		if lines := logged(t, b.LogDir); len(lines) != 2 {
			t.Errorf("log %q", lines)
		}
	})
}

func TestForeignStreams(t *testing.T) {
	withForeign(t, func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle) {
		b := with(bundle(t, "in", "cat"))
		b.OpenStdin, b.StdinOnce = true, true
		s := r.launch(t, b)
		st := s.attachTest(t, AttachOptions{Stdin: true, Stdout: true, Stderr: true})
		s.startTest(t)
		if _, err := st.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
		if err := st.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if out, err := output(t, st); out != "abcEOF" || err != "" {
			t.Errorf("%q, %q", out, err)
		}
		b = with(bundle(t, "tty", "size"))
		b.Spec.Process.Terminal = true
		s = r.launch(t, b)
		if err := s.Resize(t.Context(), 11, 22); err != nil {
			t.Fatal(err)
		}
		st = s.attachTest(t, both)
		s.startTest(t)
		expect(t, st, "size 11 22 0\r\n")
		if err := s.Resize(t.Context(), 33, 44); err != nil {
			t.Fatal(err)
		}
		expect(t, st, "size 33 44 0\r\n")
	})
}

func TestForeignSignals(t *testing.T) {
	withForeign(t, func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle) {
		s := r.launch(t, with(bundle(t, "wait", "wait")))
		st := s.attachTest(t, both)
		s.startTest(t)
		expect(t, st, "ready\n")
		if err := s.Signal(t.Context(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if e := s.waitTest(t); e.Code != int(syscall.SIGUSR1) {
			t.Errorf("%+v", e)
		}
		if err := s.Signal(t.Context(), syscall.SIGUSR1); !errdefs.IsNotFound(err) {
			t.Errorf("to one that has ended: %v", err)
		}
	})
}

func TestForeignExec(t *testing.T) {
	withForeign(t, func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle) {
		s := r.launch(t, with(bundle(t, "host", "sleep")))
		s.startTest(t)
		for range 3 {
			p := s.execTest(t, execSpec("e", "echo", "out", "err"))
			if out, err := output(t, p.Stream()); out != "out\n" || err != "err\n" {
				t.Errorf("%q, %q", out, err)
			}
			if e := p.finish(t); e.Code != 0 || e.FinishedAt.IsZero() {
				t.Errorf("%+v", e)
			}
		}
		if e := s.execTest(t, execSpec("e", "exit", "7")).finish(t); e.Code != 7 {
			t.Errorf("%+v", e)
		}
		spec := execSpec("tty", "size")
		spec.Process.Terminal = true
		p := s.execTest(t, spec)
		if err := p.Resize(t.Context(), 5, 6); err != nil {
			t.Fatal(err)
		}
		if err := p.Signal(t.Context(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if e := p.finish(t); e.Signal != int(syscall.SIGKILL) {
			t.Errorf("%+v", e)
		}
		_, err := s.Exec(t.Context(), &ExecSpec{ID: "none", Process: guestSpec([]string{"/nosuch"}).Process, Linux: &specs.Linux{}})
		if e := (*StartError)(nil); !errors.As(err, &e) || e.ExitCode != 127 {
			t.Errorf("no program: %v", err)
		}
		left, err := filepath.Glob(filepath.Join(r.dir("host"), "*-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left: %q, %v", left, err)
		}
	})
}

func TestForeignNoProgram(t *testing.T) {
	withForeign(t, func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle) {
		for program, code := range map[string]int{"nosuch": 127, "/nosuch": 127, "/etc/passwd": 126} {
			b := with(bundle(t, "none"))
			b.Spec.Process.Args = []string{program}
			s, err := r.Launch(t.Context(), b)
			if err == nil {
				t.Cleanup(func() { s.finishTest(t) })
				err = s.Start(t.Context())
			}
			if e := (*StartError)(nil); !errors.As(err, &e) || e.ExitCode != code {
				t.Errorf("%s: %v", program, err)
			}
		}
	})
}

// What goes by descriptor, they get by path.
func TestForeignShares(t *testing.T) {
	withForeign(t, func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle) {
		owner := r.launch(t, with(shmBundle(t, "owner", "put", "/dev/shm/word", "shared")))
		st := owner.attachTest(t, both)
		owner.startTest(t)
		expect(t, st, "ready\n")
		b := with(bundle(t, "second", "get", "/dev/shm/word"))
		joinIPC(t, b, owner)
		s := r.launch(t, b)
		st = s.attachTest(t, both)
		s.startTest(t)
		if out, err := output(t, st); out != "/dev/shm/word 0:0 shared\n" || err != "" {
			t.Errorf("%q, %q", out, err)
		}
	})
}

// The host's mount table shows nothing of it.
func TestForeignMounts(t *testing.T) {
	withForeign(t, func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle) {
		before := mountTable(t)
		s := r.launch(t, with(bundle(t, "mounts", "sleep")))
		if after := mountTable(t); after != before {
			t.Errorf("mounts:\n%s\nbefore:\n%s", after, before)
		}
		s.startTest(t)
	})
}

func mountTable(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A monitor that is killed takes its container along, and the next launch of
// the same ID finds nothing in its way.
func TestForeignMonitorKilled(t *testing.T) {
	withForeign(t, func(t *testing.T, r *Runtime, with func(*Bundle) *Bundle) {
		for range 2 {
			b := with(bundle(t, "lost", "sleep"))
			s := r.launch(t, b)
			s.startTest(t)
			if err := ns.PidfdSignal(s.process.pidfd, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if e := s.waitTest(t); e.Code != 137 || e.Reason != reasonLost {
				t.Errorf("%+v", e)
			}
			if _, err := unixWait(s.Pid()); err != nil { // it became our child
				t.Error(err)
			}
			s.finishTest(t)
		}
	})
}

func unixWait(pid int) (syscall.WaitStatus, error) {
	var st syscall.WaitStatus
	_, err := syscall.Wait4(pid, &st, 0, nil)
	return st, err
}

func TestForeignRefuses(t *testing.T) {
	r := newRuntime(t, Options{})
	for what, change := range map[string]func(*Bundle){
		"init": func(b *Bundle) { b.Reaper = true },
		"user": func(b *Bundle) {
			b.Spec.Linux.Namespaces = append(b.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		},
	} {
		b := bundle(t, "refused", "exit", "0")
		b.Runtime = []string{"/usr/sbin/runc"}
		change(b)
		if s, err := r.Launch(t.Context(), b); !errdefs.IsNotImplemented(err) {
			t.Errorf("%s: %v, %v", what, s, err)
		}
	}
	b := bundle(t, "absent", "exit", "0")
	b.Runtime = []string{"/nonexistent/runtime"}
	if s, err := r.Launch(t.Context(), b); err == nil || !strings.Contains(err.Error(), "/nonexistent/runtime") {
		t.Error(fmt.Sprint(s, err))
	}
}
