package stage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/profiles/seccomp"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	compiler "github.com/berth-engine/berth/sandbox/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// enter makes a process in b's container, up to "created".
func (b *box) enter(p *specs.Process, stdout *os.File) (*Process, error) {
	b.t.Helper()
	program, err := os.Open(probe)
	must(b.t, err)
	defer program.Close()
	exe, err := ns.SealedMemfd("berth-sandbox", program)
	must(b.t, err)
	defer exe.Close()
	text, err := PrepareEntry(&Config{Spec: &specs.Spec{Process: p, Linux: b.config.Spec.Linux}, Seccomp: b.config.Seccomp, State: b.config.State})
	must(b.t, err)
	order, err := ns.DataMemfd("order", bytes.NewReader(text))
	must(b.t, err)
	defer order.Close()
	e, err := Enter(exe, &Entry{
		Pid: b.process.Pid, PidFD: b.process.PidFD, Groups: b.config.CgroupDirs, Order: order,
		Terminal: p.Terminal, Stdout: stdout, Stderr: stdout,
	})
	if err != nil {
		return nil, err
	}
	return e, e.Created()
}

// inside runs a process in b's container to its end.
func (b *box) inside(p *specs.Process) (string, int) {
	b.t.Helper()
	r, w, err := os.Pipe()
	must(b.t, err)
	defer r.Close()
	e, err := b.enter(p, w)
	w.Close()
	must(b.t, err)
	defer e.Close()
	must(b.t, e.Start())
	out, err := io.ReadAll(r)
	must(b.t, err)
	var status syscall.WaitStatus
	_, err = wait(e.Pid, &status)
	must(b.t, err)
	if status.Signaled() {
		return string(out), 128 + int(status.Signal())
	}
	return string(out), status.ExitStatus()
}

// running is a container whose process 1 waits.
func running(t *testing.T, spec *specs.Spec) *box {
	t.Helper()
	b := newBox(t, spec)
	must(t, b.spawn())
	must(t, b.process.Start())
	return b
}

// process is the process of defaultSpec.
func process(args ...string) *specs.Process { return defaultSpec(args...).Process }

func TestEnter(t *testing.T) {
	b := running(t, defaultSpec("/probe", "pause"))
	_, err := startDir(b.process.Pid) // stays open
	must(t, err)
	noLeak(t)
	out, code := b.inside(process("/probe", "report"))
	r := &report{}
	if err := json.Unmarshal([]byte(out), r); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if r.Pid == 1 || r.Hostname != "box" || r.Cwd != "/" || r.UID != 0 || r.Umask != 0o022 {
		t.Errorf("process: %+v", r)
	}
	for name, want := range map[string]string{
		"CapInh": "0000000000000000", "CapPrm": "00000000a80425fb", "CapEff": "00000000a80425fb",
		"CapBnd": "00000000a80425fb", "CapAmb": "0000000000000000", "NoNewPrivs": "0", "Groups": "", "SigIgn": "0000000000000000",
	} {
		if r.Status[name] != want {
			t.Errorf("%s: %s, want %s", name, r.Status[name], want)
		}
	}
	if len(r.Fds) != 3 || r.Fds[0] != "0 /dev/null" {
		t.Errorf("descriptors %q", r.Fds)
	}
	if line := r.mount("/proc/keys"); !strings.Contains(line, "devtmpfs") {
		t.Errorf("mounts: %q", r.Mounts)
	}
	for name := range nsKinds {
		inside, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.process.Pid, name))
		must(t, err)
		out, _ := b.inside(process("/probe", "link", "/proc/self/ns/"+name))
		if strings.TrimSpace(out) != inside {
			t.Errorf("%s namespace %s, process 1 is in %s", name, out, inside)
		}
	}
}

// TestEnterUserNamespace: root of the container and not of the host, in its
// time namespace, too, and with a terminal.
func TestEnterUserNamespace(t *testing.T) {
	spec := userSpec("/probe", "pause")
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
	b := newUserBox(t, spec)
	must(t, b.spawn())
	must(t, b.process.Start())
	score := 300
	p := process("/probe", "report")
	p.OOMScoreAdj = &score
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 99, Hard: 99}}
	out, code := b.inside(p)
	r := &report{}
	if err := json.Unmarshal([]byte(out), r); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if r.UID != 0 || r.GID != 0 || len(r.Groups) != 0 || r.Hostname != "box" || r.Status["CapEff"] != "00000000a80425fb" {
		t.Errorf("%+v", r)
	}
	p = process("/probe", "read", "/proc/self/uid_map", "/proc/self/oom_score_adj")
	p.OOMScoreAdj = &score
	if out, _ := b.inside(p); !strings.Contains(out, fmt.Sprint(base)) || !strings.Contains(out, `"300\n"`) {
		t.Error(out)
	}
	for name := range nsKinds {
		inside, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.process.Pid, name))
		must(t, err)
		if out, _ := b.inside(process("/probe", "link", "/proc/self/ns/"+name)); strings.TrimSpace(out) != inside {
			t.Errorf("%s namespace %s, process 1 is in %s", name, out, inside)
		}
	}
	p = process("/probe", "tty")
	p.User.UID, p.Terminal = 1000, true
	e, err := b.enter(p, nil)
	must(t, err)
	defer e.Close()
	must(t, e.Start())
	_, err = e.Console.WriteString("typed\n")
	must(t, err)
	var text bytes.Buffer
	_, _ = io.Copy(&text, e.Console) // EIO at the end
	_, err = wait(e.Pid, nil)
	must(t, err)
	if !strings.Contains(text.String(), "line typed") {
		t.Errorf("%q", text.String())
	}
}

// TestEnterRestricted: everything that restricts process 1 is asked of the
// others in the same way.
func TestEnterRestricted(t *testing.T) {
	b := running(t, defaultSpec("/probe", "pause"))
	p := process("/probe", "report")
	umask, score := uint32(0o077), 300
	p.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{7, 8}, Umask: &umask}
	p.Cwd, p.NoNewPrivileges, p.OOMScoreAdj = "/tmp", true, &score
	p.Capabilities = &specs.LinuxCapabilities{
		Bounding: []string{"CAP_CHOWN", "CAP_KILL"}, Permitted: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"},
		Inheritable: []string{"CAP_KILL"}, Ambient: []string{"CAP_KILL"},
	}
	out, code := b.inside(p)
	r := &report{}
	if err := json.Unmarshal([]byte(out), r); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if r.UID != 1000 || r.GID != 1001 || fmt.Sprint(r.Groups) != "[7 8]" || r.Cwd != "/tmp" || r.Umask != 0o077 {
		t.Errorf("%d:%d %v in %s, umask %o", r.UID, r.GID, r.Groups, r.Cwd, r.Umask)
	}
	for name, want := range map[string]string{"CapBnd": "0000000000000021", "CapEff": "0000000000000020", "CapAmb": "0000000000000020", "NoNewPrivs": "1"} {
		if r.Status[name] != want {
			t.Errorf("%s: %s, want %s", name, r.Status[name], want)
		}
	}
	p = process("/probe", "read", "/proc/self/limits", "/proc/self/oom_score_adj")
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 99, Hard: 99}}
	p.OOMScoreAdj = &score
	if out, _ := b.inside(p); !strings.Contains(out, `"300\n"`) || !strings.Contains(out, "Max open files            99                   99 ") {
		t.Errorf("OOM score and limits: %s", out)
	}
}

// TestEnterNoWayOut: no descriptor of the stage leads out as a working
// directory (CVE-2024-21626).
func TestEnterNoWayOut(t *testing.T) {
	b := running(t, defaultSpec("/probe", "pause"))
	for fd := range 1024 {
		p := process("/probe", "exit", "0")
		p.Cwd = fmt.Sprintf("/proc/self/fd/%d", fd)
		e, err := b.enter(p, nil)
		if err == nil {
			t.Errorf("%s is a working directory", p.Cwd)
			e.Abandon()
		}
	}
}

// TestEntryFrames fixes what a monitor and the stage of a further process say
// to each other: they may be of different builds (docs/contracts/monitor.md).
func TestEntryFrames(t *testing.T) {
	a := &agent{Path: "/p", Metadata: "m", State: specs.State{Version: "1", ID: "i", Bundle: "/b", Annotations: map[string]string{"k": "v"}}}
	e := &ExecError{Path: "/x", Err: syscall.ENOENT, Text: "no x"}
	for _, c := range []struct{ frame, want string }{
		{string(frame(frameOrder, nothing)), "o\x00\x00\x00\x00"},
		{string(frame(frameConsole, nothing)), "t\x00\x00\x00\x00"},
		{string(frame(frameReady, (&ready{[]string{"w"}}).describe)), "r\x03\x00\x00\x00\x01\x01w"},
		{string(frame(frameFailed, (&failure{"s", "why"}).describe)), "f\x06\x00\x00\x00\x01s\x03why"},
		{string(frame(frameAgent, a.describe)), "a\x11\x00\x00\x00\x02/p\x01m\x011\x01i\x02/b\x01\x01k\x01v"},
		{string(frame(frameGo, nothing)), "g\x00\x00\x00\x00"},
		{string(frame(frameExecFail, e.describe)), "x\x09\x00\x00\x00\x02/x\x02\x04no x"},
	} {
		if c.frame != c.want {
			t.Errorf("%q instead of %q", c.frame, c.want)
		}
	}
}

func TestEnterErrors(t *testing.T) {
	b := running(t, defaultSpec("/probe", "pause"))
	for _, c := range []struct {
		name, text string
		code       int
	}{
		{"nosuch", `exec: "nosuch": executable file not found in $PATH`, 127},
		{"/etc/passwd", `exec: "/etc/passwd": permission denied`, 126},
	} {
		e, err := b.enter(process(c.name), nil)
		must(t, err)
		err = e.Start()
		x := (*ExecError)(nil)
		if !errors.As(err, &x) || x.Text != c.text || x.ExitCode() != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
		e.Abandon()
	}
	p := process("/probe")
	p.Cwd = "/nosuch"
	if _, err := b.enter(p, nil); err == nil || !strings.Contains(err.Error(), `chdir to cwd ("/nosuch")`) {
		t.Errorf("%v", err)
	}
	for _, bad := range []*specs.Process{{Cwd: "/"}, {Args: []string{"a"}, Cwd: "a"}, {Args: []string{"a\x00"}, Cwd: "/"}} {
		if _, err := PrepareEntry(&Config{Spec: &specs.Spec{Process: bad}}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestEnterTerminal(t *testing.T) {
	b := running(t, defaultSpec("/probe", "pause"))
	p := process("/probe", "tty")
	p.Terminal, p.ConsoleSize = true, &specs.Box{Height: 11, Width: 22}
	e, err := b.enter(p, nil)
	must(t, err)
	defer e.Close()
	must(t, e.Start())
	_, err = e.Console.WriteString("typed\n")
	must(t, err)
	var out bytes.Buffer
	_, _ = io.Copy(&out, e.Console) // EIO at the end
	_, err = wait(e.Pid, nil)
	must(t, err)
	if !strings.Contains(out.String(), "&{11 22 0 0} <nil> true <nil> /dev/pts/0") || !strings.Contains(out.String(), "line typed") {
		t.Errorf("%q", out.String())
	}
}

// TestEnterEnds: with the container, whatever they were about.
func TestEnterEnds(t *testing.T) {
	b := running(t, defaultSpec("/probe", "pause"))
	started, err := b.enter(process("/probe", "pause"), nil)
	must(t, err)
	defer started.Close()
	must(t, started.Start())
	created, err := b.enter(process("/probe", "pause"), nil)
	must(t, err)
	defer created.Close()
	must(t, syscall.Kill(b.process.Pid, syscall.SIGKILL))
	for _, p := range []*Process{started, created} {
		var status syscall.WaitStatus
		_, err := wait(p.Pid, &status)
		if err != nil || status.Signal() != syscall.SIGKILL {
			t.Errorf("%v, %x", err, status)
		}
	}
	b.wait()
	if _, err := b.enter(process("/probe"), nil); err == nil {
		t.Error("entered what has ended")
	}
}

// TestEnterSeccomp: the filter holds for all processes.
func TestEnterSeccomp(t *testing.T) {
	spec := defaultSpec("/probe", "pause")
	profile, err := seccomp.GetDefaultProfile(spec)
	must(t, err)
	spec.Linux.Seccomp = profile
	b := newBox(t, spec)
	b.config.Seccomp, err = compiler.Compile(profile)
	must(t, err)
	must(t, b.spawn())
	must(t, b.process.Start())
	for _, nnp := range []bool{false, true} {
		p := process("/probe", "syscall", "248", "165", "39", "9999") // add_key, mount, getpid, none
		p.NoNewPrivileges = nnp
		if out, _ := b.inside(p); out != "248 1\n165 1\n39 0\n9999 38\n" {
			t.Errorf("no new privileges %v: %s", nnp, out)
		}
	}
}

// TestEnterGroups: the process is in the container's groups before it does
// anything.
func TestEnterGroups(t *testing.T) {
	const parent = "/berth-enter-test"
	g, err := cgroup.Create(parent, "box", nil)
	must(t, err)
	t.Cleanup(func() {
		must(t, g.Destroy())
		must(t, cgroup.Prune(parent))
	})
	b := newBox(t, defaultSpec("/probe", "pause"))
	b.config.CgroupDirs = g.JoinDirs()
	must(t, b.spawn())
	must(t, b.process.Start())
	e, err := b.enter(process("/probe", "exit", "0"), nil)
	must(t, err)
	defer e.Close()
	if pids, err := g.Pids(); err != nil || !slices.Contains(pids, e.Pid) || !slices.Contains(pids, b.process.Pid) {
		t.Errorf("%v, %v", pids, err)
	}
	must(t, e.Start())
	_, err = wait(e.Pid, nil)
	must(t, err)
	b.end()
}
