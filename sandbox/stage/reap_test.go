package stage

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

func TestExitCodes(t *testing.T) {
	for _, reaper := range []bool{false, true} {
		for _, c := range []struct {
			args []string
			code int
		}{{[]string{"exit", "0"}, 0}, {[]string{"exit", "42"}, 42}} {
			b := newBox(t, defaultSpec(append([]string{"/probe"}, c.args...)...))
			b.config.Reaper = reaper
			if _, code := b.run(); code != c.code {
				t.Errorf("%v reaper=%v: exit %d", c.args, reaper, code)
			}
		}
	}
	b := newBox(t, defaultSpec("/probe", "suicide"))
	b.config.Reaper = true
	if _, code := b.run(); code != 128+9 {
		t.Errorf("killed: exit %d", code)
	}
}

func TestReaperReapsAndForwards(t *testing.T) {
	b := newBox(t, defaultSpec("/probe", "orphan"))
	b.config.Reaper = true
	if out, code := b.run(); out != "reaped\n" || code != 0 {
		t.Errorf("%d: %s", code, out)
	}
	b = newBox(t, defaultSpec("/probe", "pause"))
	b.config.Reaper = true
	must(t, b.spawn())
	must(t, b.process.Start())
	// The signal may come before the program listens: it then has the
	// default effect, and the reaper says so.
	must(t, ns.PidfdSignal(b.process.PidFD, syscall.SIGTERM))
	if code := b.wait(); code != 7 && code != 128+15 {
		t.Errorf("exit %d", code)
	}
}

func TestReaperIsRestricted(t *testing.T) {
	spec := defaultSpec("/probe", "report")
	spec.Process.User.UID = 1000
	spec.Process.NoNewPrivileges = true
	spec.Process.Env = append(spec.Process.Env, "GOMAXPROCS=3")
	b := newBox(t, spec)
	b.config.Reaper = true
	r := b.report()
	if r.Pid == 1 || len(r.Fds) != 3 || r.UID != 1000 || strings.Join(r.Env, " ") != "PATH=/bin:/ A=b GOMAXPROCS=3" {
		t.Errorf("%+v", r)
	}
	spec = defaultSpec("/probe", "read", "/proc/1/cmdline", "/proc/1/comm", "/proc/1/environ")
	b = newBox(t, spec)
	b.config.Reaper = true
	out, _ := b.run()
	if !strings.Contains(out, `"berth-reap\x00--\x00/probe\x00read`) || !strings.Contains(out, `"berth-reap\n"`) {
		t.Error(out)
	}
	spec = defaultSpec("/probe", "list", "/proc/1/fd")
	b = newBox(t, spec)
	b.config.Reaper = true
	out, _ = b.run()
	for fd := range strings.FieldsSeq(out) {
		// 3 and above: Go's own poller (epoll, eventfd), nothing of ours.
		if fd > "5" || len(fd) > 1 {
			t.Errorf("descriptors of the reaper: %s", out)
		}
	}
}

func TestTerminal(t *testing.T) {
	for _, reaper := range []bool{false, true} {
		noLeak(t)
		spec := defaultSpec("/probe", "tty")
		spec.Process.Terminal = true
		spec.Process.User.UID = 1000
		spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 111}
		b := newBox(t, spec)
		b.config.Reaper = reaper
		must(t, b.spawn())
		if b.process.Console == nil {
			t.Fatal("no console")
		}
		must(t, task.SetWindow(b.process.Console, 44, 122))
		must(t, b.process.Start())
		in := bufio.NewReader(b.process.Console)
		line, err := in.ReadString('\n')
		if err != nil || line != "&{44 122 0 0} <nil> true <nil> /dev/pts/0\r\n" {
			t.Errorf("%q, %v", line, err)
		}
		fmt.Fprintln(b.process.Console, "hello")
		rest, err := io.ReadAll(in)
		if !errors.Is(err, syscall.EIO) || !strings.Contains(string(rest), "line hello") {
			t.Errorf("%q, %v", rest, err)
		}
		if code := b.wait(); code != 0 {
			t.Errorf("exit %d", code)
		}
		b.process.Close()
	}
}

func TestConsoleDevice(t *testing.T) {
	spec := defaultSpec("/probe", "stat", "/dev/console")
	spec.Process.Terminal = true
	b := newBox(t, spec)
	must(t, b.spawn())
	must(t, b.process.Start())
	line, _ := bufio.NewReader(b.process.Console).ReadString('\n')
	if line != "/dev/console 20620 136:0\r\n" {
		t.Errorf("%q", line)
	}
	b.wait()
}
