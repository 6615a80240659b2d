package stage

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/profiles/seccomp"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	compiler "github.com/berth-engine/berth/sandbox/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// enterBy makes a process in b's container in one of the two ways and returns
// what it says, and what fails.
func (b *box) enterBy(isDirect bool, p *specs.Process, stdin *os.File) (out string, status int, err error) {
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
	r, w, err := os.Pipe()
	must(b.t, err)
	defer r.Close()
	entry := &Entry{
		Pid: b.process.Pid, PidFD: b.process.PidFD, Groups: b.config.CgroupDirs, Order: order,
		Stdin: stdin, Stdout: w, Stderr: w, Direct: isDirect,
	}
	if isDirect && b.unsealed {
		entry.Seal = ns.Trampoline
	}
	if a := p.ExecCPUAffinity; a != nil {
		entry.CPUs = a.Initial
	}
	e, err := Enter(exe, entry)
	w.Close()
	if err == nil {
		err = e.Created()
	}
	if err != nil {
		return "", 0, err
	}
	defer e.Close()
	if err := e.Start(); err != nil {
		e.Abandon()
		return "", 0, err
	}
	data, err := io.ReadAll(r)
	must(b.t, err)
	var ws syscall.WaitStatus
	_, err = wait(e.Pid, &ws)
	must(b.t, err)
	if isDirect != e.running {
		b.t.Errorf("direct: %v instead of %v", e.running, isDirect)
	}
	return string(data), int(ws), nil
}

// trampolines tells whether a process can be made directly by a trampoline.
var trampolines = map[bool][]bool{true: {false, true}, false: {false}}[runtime.GOARCH == "amd64"]

// volatile is what differs between two processes that are the same.
var volatile = regexp.MustCompile(`^(State|Pid|Tgid|PPid|NStgid|NSpid|NSpgid|NSsid|Vm.*|Hugetlb.*|Rss.*|.*ctxt_switches|Threads|SigQ|FDSize|Cpus_.*)$`)

// told returns all that the probe tells of its process.
func (b *box) told(isDirect bool, p *specs.Process, stdin *os.File) string {
	b.t.Helper()
	var all strings.Builder
	for _, args := range [][]string{
		{"report"},
		{"attributes"},
		{"read", "/proc/self/limits", "/proc/self/cgroup", "/proc/self/oom_score_adj", "/proc/self/uid_map", "/proc/thread-self/timerslack_ns"},
		{"list", "/proc/self/task/self/fd"},
		{"where", "/proc/self/fd/0", "/proc/self/fd/1"},
		{"syscall", "248", "165", "39", "9999"},
	} {
		p.Args = append([]string{"/probe"}, args...)
		out, status, err := b.enterBy(isDirect, p, stdin)
		if err != nil || status != 0 {
			b.t.Errorf("%v: status %d, %v, %s", args, status, err, out)
		}
		r := &report{}
		if args[0] == "report" && json.Unmarshal([]byte(out), r) == nil {
			r.Pid = 0
			for k := range r.Status {
				if volatile.MatchString(k) {
					delete(r.Status, k)
				}
			}
			text, err := json.MarshalIndent(r, "", " ")
			must(b.t, err)
			out = regexp.MustCompile(`pipe:\[\d+\]`).ReplaceAllString(string(text), "pipe")
		}
		all.WriteString(out)
	}
	return all.String()
}

// TestDirect: a process that was made without a stage is in nothing different
// from one that a stage has made.
func TestDirect(t *testing.T) {
	const parent = "/berth-direct-test"
	g, err := cgroup.Create(parent, "box", nil)
	must(t, err)
	t.Cleanup(func() {
		must(t, g.Destroy())
		must(t, cgroup.Prune(parent))
	})
	spec := defaultSpec("/probe", "pause")
	spec.Linux.Seccomp, err = seccomp.GetDefaultProfile(spec)
	must(t, err)
	b := newBox(t, spec)
	b.config.CgroupDirs = g.JoinDirs()
	b.config.Seccomp, err = compiler.Compile(spec.Linux.Seccomp)
	must(t, err)
	file := filepath.Join(b.dir, "input")
	must(t, os.WriteFile(file, []byte("in"), 0o666))
	must(t, b.spawn())
	must(t, b.process.Start())
	stdin, err := os.Open(file)
	must(t, err)
	defer stdin.Close()
	umask, score := uint32(0o077), 300
	some := []string{"CAP_KILL", "CAP_CHOWN"}
	for name, change := range map[string]func(*specs.Process){
		"default":      func(*specs.Process) {},
		"no_new_privs": func(p *specs.Process) { p.NoNewPrivileges = true },
		"user": func(p *specs.Process) {
			p.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{7, 8}, Umask: &umask}
		},
		"large ids":         func(p *specs.Process) { p.User = specs.User{UID: 1 << 31, GID: 1<<32 - 2} },
		"working directory": func(p *specs.Process) { p.Cwd = "/tmp" },
		"limits": func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 99, Hard: 100}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 5}}
		},
		"OOM score":       func(p *specs.Process) { p.OOMScoreAdj = &score },
		"no capabilities": func(p *specs.Process) { p.Capabilities = nil },
		"ambient": func(p *specs.Process) {
			p.User.UID = 5
			p.Capabilities = &specs.LinuxCapabilities{Bounding: defaultCaps, Permitted: some, Effective: some, Inheritable: some, Ambient: some[:1]}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			p := process()
			change(p)
			staged := b.told(false, p, stdin)
			for _, b.unsealed = range trampolines {
				isDirect := b.told(true, p, stdin)
				a, d := strings.Split(staged, "\n"), strings.Split(isDirect, "\n")
				for i := range min(len(a), len(d)) {
					if a[i] != d[i] {
						t.Errorf("a stage: %s\ndirectly, by a trampoline %v: %s", a[i], b.unsealed, d[i])
					}
				}
				if len(a) != len(d) {
					t.Errorf("a stage: %d lines, directly, by a trampoline %v: %d", len(a), b.unsealed, len(d))
				}
			}
		})
	}
}

// TestDirectErrors: what goes wrong is told as the stage tells it.
func TestDirectErrors(t *testing.T) {
	b := newBox(t, defaultSpec("/probe", "pause"))
	must(t, os.WriteFile(filepath.Join(b.dir, "tmp/script"), []byte("#!/nosuch\n"), 0o755))
	must(t, b.spawn())
	must(t, b.process.Start())
	for _, change := range []func(*specs.Process){
		func(p *specs.Process) { p.Args = []string{"nosuch"} },
		func(p *specs.Process) { p.Args = []string{"/etc/passwd"} },
		func(p *specs.Process) { p.Args = []string{"/tmp/script"} },
		func(p *specs.Process) { p.Args = []string{"tmp"} },
		func(p *specs.Process) { p.Cwd = "/nosuch" },
		func(p *specs.Process) { p.Cwd = "/proc/self/fd/0" },
		func(p *specs.Process) { p.Cwd = "/proc/self/fd/3" },
	} {
		p := process("/probe", "exit", "0")
		change(p)
		_, _, staged := b.enterBy(false, p, nil)
		_, _, isDirect := b.enterBy(true, p, nil)
		if staged == nil || isDirect == nil || staged.Error() != isDirect.Error() {
			t.Errorf("%+v: %v\ndirectly: %v", p, staged, isDirect)
		}
	}
}

// TestDirectFinds: the program is found where the stage finds it.
func TestDirectFinds(t *testing.T) {
	b := running(t, defaultSpec("/probe", "pause"))
	for _, path := range []string{"/", "/etc:/nosuch:/", "/tmp:/bin:/"} {
		p := process("probe", "exit", "7")
		p.Env = []string{"PATH=" + path}
		if _, status, err := b.enterBy(true, p, nil); err != nil || syscall.WaitStatus(status).ExitStatus() != 7 {
			t.Errorf("%s: %x, %v", path, status, err)
		}
	}
}

// TestDirectWorkdir: a directory of the host that was given as a stream is no
// way out (CVE-2024-21626).
func TestDirectWorkdir(t *testing.T) {
	b := running(t, defaultSpec("/probe", "pause"))
	out, err := os.Open("/usr")
	must(t, err)
	defer out.Close()
	p := process("/probe", "list", ".")
	p.Cwd = "/proc/self/fd/0"
	if text, _, err := b.enterBy(true, p, out); err == nil {
		t.Errorf("went to the host's %s", text)
	}
}
