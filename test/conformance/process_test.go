package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestProcess is config.md's process, and user within it.
func TestProcess(t *testing.T) {
	hold(t, []must{
		{"config.md#process", "cwd", inside("/tmp", "pwd", process(func(p *specs.Process) { p.Cwd = "/tmp" }))},
		{"config.md#process", "an error for a relative cwd", refused(process(func(p *specs.Process) { p.Cwd = "tmp" }))},
		{"config.md#process", "an error for no cwd", refused(process(func(p *specs.Process) { p.Cwd = "" }))},
		{"config.md#process", "env is all there is", envIsAll},
		{"config.md#process", "args are passed as they are", argsAsTheyAre},
		{"config.md#process", "an error without args", refused(process(func(p *specs.Process) { p.Args = nil }))},
		{"config.md#process", "args[0] is found as execvp does", argsByPath},
		{"config.md#process", "an error for a program that is not there", programMissing},
		{"config.md#posix-process", "rlimits soft and hard", inside("1000 2000", openFiles, limits("RLIMIT_NOFILE", 1000, 2000))},
		{"config.md#posix-process", "rlimits that leave few descriptors", inside("10\n20", fewFiles, limits("RLIMIT_NOFILE", 10, 20))},
		{"config.md#posix-process", "rlimits that leave none", inside("3\n3", fewFiles, limits("RLIMIT_NOFILE", 3, 3))},
		{"config.md#posix-process", "rlimits that leave none, behind a filter", inside("3\n3", fewFiles, limits("RLIMIT_NOFILE", 3, 3),
			process(func(p *specs.Process) { p.NoNewPrivileges = true }), forbid(specs.ActErrno, "mkdir"))},
		{"config.md#posix-process", "rlimits with a filter that forbids to set them", inside("60 70", openFiles, limits("RLIMIT_NOFILE", 60, 70),
			forbid(specs.ActErrno, "prlimit64", "setrlimit"))},
		{"config.md#posix-process", "the exec'ed process has them too", execLimited},
		{"config.md#posix-process", "rlimits of every type", everyLimit},
		{"config.md#posix-process", "an error for an rlimit that is unknown", refused(limits("RLIMIT_WISHES", 1, 1))},
		{"config.md#posix-process", "an error for an rlimit twice", refused(limits("RLIMIT_NOFILE", 1, 1), limits("RLIMIT_NOFILE", 2, 2))},
		{"config.md#linux-process", "capabilities of every set", capabilitySets},
		{"config.md#linux-process", "a capability that cannot be granted is a warning", capabilityNotHeld},
		{"config.md#linux-process", "no capabilities", inside("0000000000000000", "sed -n 's/CapEff:\t//p' /proc/self/status", process(func(p *specs.Process) { p.Capabilities = &specs.LinuxCapabilities{} }))},
		{"config.md#linux-process", "noNewPrivileges", inside("NoNewPrivs: 1", "echo $(grep NoNewPrivs /proc/self/status)", process(func(p *specs.Process) { p.NoNewPrivileges = true }))},
		{"config.md#linux-process", "oomScoreAdj is set", inside("567", "cat /proc/self/oom_score_adj", process(func(p *specs.Process) { p.OOMScoreAdj = new(567) }))},
		{"config.md#linux-process", "oomScoreAdj is inherited unless set", oomInherited},
		{"config.md#linux-process", "an error for an apparmorProfile where there is no AppArmor", onlyWithout("/sys/module/apparmor", refused(process(func(p *specs.Process) { p.ApparmorProfile = "no-such-profile" })))},
		{"config.md#linux-process", "an error for a selinuxLabel where there is no SELinux", onlyWithout("/sys/fs/selinux/enforce", refused(process(func(p *specs.Process) { p.SelinuxLabel = "system_u:system_r:svirt_lxc_net_t:s0:c1,c2" })))},
		{"config.md#linux-process", "scheduler", inside("3", "awk '{print $41}' /proc/$$/stat", process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch} }))},
		{"config.md#linux-process", "scheduler nice", inside("7", "awk '{print $19}' /proc/$$/stat", process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: 7} }))},
		{"config.md#linux-process", "an error for a scheduler policy that is unknown", refused(process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: "SCHED_LUCK"} }))},
		{"config.md#linux-process", "ioPriority", inside("best-effort: prio 6", "ionice -p $$", process(func(p *specs.Process) {
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		}))},
		{"config.md#linux-process", "an error for an ioPriority class that is unknown", refused(process(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: "IOPRIO_CLASS_SOON", Priority: 6} }))},
		{"config.md#linux-process", "execCPUAffinity is taken", accepted(process(func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0"} }))},
		{"config.md#user", "uid and gid", inside("1234 4321", "echo $(id -u) $(id -g)", user(specs.User{UID: 1234, GID: 4321}))},
		{"config.md#user", "umask", inside("0027", "umask", user(specs.User{Umask: new(uint32(0o27))}))},
		{"config.md#user", "additionalGids and no others", inside("Groups: 5 6 7", "echo $(grep Groups /proc/self/status)", user(specs.User{AdditionalGids: []uint32{7, 5, 6}}))},
		{"config.md#user", "no groups of the caller", inside("Groups:", "echo $(grep Groups /proc/self/status)")},
		{"config.md#user", "an ID above 2^31", inside("4294967294", "id -u", user(specs.User{UID: 4294967294}))},
		{"config.md#process", "terminal with a console socket", terminal},
		{"config.md#process", "consoleSize is ignored without a terminal", accepted(process(func(p *specs.Process) { p.ConsoleSize = &specs.Box{Height: 10, Width: 20} }))},
		{"config.md#process", "an error for a terminal without a console socket", refused(process(func(p *specs.Process) { p.Terminal = true }))},
	})
}

func user(u specs.User) edit { return process(func(p *specs.Process) { p.User = u }) }

func limits(kind string, soft, hard uint64) edit {
	return process(func(p *specs.Process) {
		p.Rlimits = append(p.Rlimits, specs.POSIXRlimit{Type: kind, Soft: soft, Hard: hard})
	})
}

// forbid loads a filter against some calls.
func forbid(action specs.LinuxSeccompAction, names ...string) edit {
	return seccomp(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: names, Action: action}}})
}

// fewFiles tells the limits without a descriptor; the shell has that built in.
const fewFiles = "ulimit -Sn; ulimit -Hn"

// openFiles reads them.
const openFiles = "awk '/open files/{print $4,$5}' /proc/self/limits"

func execLimited(t *testing.T) {
	b := newBox(t, waits, limits("RLIMIT_NOFILE", 10, 20))
	b.mustCreate()
	b.mustStart()
	for _, terminal := range []bool{false, true} {
		p := *b.spec.Process
		p.Args, p.Rlimits = []string{"/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"}, []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 3, Hard: 3}}
		p.Terminal = terminal
		data, err := json.Marshal(p)
		check(t, err)
		file := filepath.Join(b.bundle, "process.json")
		check(t, os.WriteFile(file, data, 0o600))
		out, err := b.do("exec", "--process", file, b.id)
		if got := strings.Fields(out); err != nil || !slices.Equal(got, []string{"3", "3"}) {
			t.Errorf("terminal %v: %q, %v", terminal, out, err)
		}
	}
}

// onlyWithout holds a runtime to what it does on a kernel that lacks a feature.
func onlyWithout(path string, test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) {
		if _, err := os.Stat(path); err == nil {
			t.Logf("%s is here: nothing to refuse", path)
			return
		}
		test(t)
	}
}

func envIsAll(t *testing.T) {
	b := newBox(t, process(func(p *specs.Process) {
		p.Args, p.Env = []string{"/bin/env"}, []string{"PATH=/bin", "HOME=/h", "x=a  b", "EMPTY="}
	}))
	b.env = []string{"OF_THE_CALLER=1"}
	if out := b.run(); out != "PATH=/bin\nHOME=/h\nx=a  b\nEMPTY=\n" {
		t.Errorf("got %q", out)
	}
}

func argsAsTheyAre(t *testing.T) {
	b := newBox(t, process(func(p *specs.Process) {
		p.Args = []string{"/bin/printf", "[%s]", "", "a b", "$HOME", "ü\n", "*"}
	}))
	if out := b.run(); out != "[][a b][$HOME][ü\n][*]" {
		t.Errorf("got %q", out)
	}
}

// everyLimit gives each limit of getrlimit(2) the values that it has here, and looks
// what the kernel calls them.
func everyLimit(t *testing.T) {
	names := []string{
		"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
		"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
	}
	var want strings.Builder
	var edits []edit
	for number, name := range names { // in the kernel's order
		var l unix.Rlimit
		check(t, unix.Getrlimit(number, &l))
		soft := min(l.Cur, 1<<40)
		edits = append(edits, limits(name, soft, l.Max))
		for i, v := range []uint64{soft, l.Max} {
			text := strconv.FormatUint(v, 10)
			if v == unix.RLIM_INFINITY {
				text = "unlimited"
			}
			want.WriteString(text + []string{" ", "\n"}[i])
		}
	}
	inside(strings.TrimSpace(want.String()), `sed '1d;s/^.\{25\}//' /proc/self/limits | awk '{print $1, $2}'`, edits...)(t)
}

// capabilityNotHeld asks for one that the runtime lacks.
func capabilityNotHeld(t *testing.T) {
	const last = unix.CAP_LAST_CAP
	for n := range last + 1 {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0); err != nil || has == 1 {
			continue
		}
		names, err := exec.Command("capsh", fmt.Sprintf("--decode=%x", uint64(1)<<n)).Output()
		check(t, err)
		_, name, _ := strings.Cut(strings.TrimSpace(string(names)), "=")
		name = strings.ToUpper(name)
		b := newBox(t, sh("echo runs"), process(func(p *specs.Process) {
			p.Capabilities.Bounding = append(p.Capabilities.Bounding, name)
			p.Capabilities.Permitted = append(p.Capabilities.Permitted, name)
		}))
		if out := b.run(); out != "runs\n" || !strings.Contains(b.words("create"), name) {
			t.Errorf("%s: printed %q, warned %q", name, out, b.words("create"))
		}
		return
	}
	t.Log("there is none: all capabilities can be granted here")
}

func argsByPath(t *testing.T) {
	b := newBox(t, process(func(p *specs.Process) {
		p.Env, p.Args = []string{"PATH=/nowhere:/opt/p:/bin"}, []string{"mine", "x"}
	}))
	check(t, os.MkdirAll(b.rootfs("opt/p"), 0o755))
	check(t, os.WriteFile(b.rootfs("opt/p/mine"), []byte("#!/bin/sh\necho $0 $1\n"), 0o755))
	if out := b.run(); out != "/opt/p/mine x\n" {
		t.Errorf("got %q", out)
	}
}

func programMissing(t *testing.T) {
	b := newBox(t, process(func(p *specs.Process) { p.Args = []string{"/bin/none"} }))
	if b.create() == nil && b.start() == nil {
		t.Error("create and start succeed")
	}
}

func capabilitySets(t *testing.T) {
	one, two, three := []string{"CAP_KILL"}, []string{"CAP_KILL", "CAP_CHOWN"}, []string{"CAP_KILL", "CAP_CHOWN", "CAP_SETUID"}
	b := newBox(t, sh("grep ^Cap /proc/self/status"), process(func(p *specs.Process) {
		p.User = specs.User{UID: 9, GID: 9}
		p.Capabilities = &specs.LinuxCapabilities{Bounding: three, Permitted: two, Inheritable: one, Effective: two, Ambient: one}
	}))
	// The program of a user has its ambient ones only, permitted and effective.
	const kill, all = 1 << 5, 1<<5 | 1<<0 | 1<<7
	var want strings.Builder
	for _, set := range []struct {
		name string
		bits uint64
	}{{"Inh", kill}, {"Prm", kill}, {"Eff", kill}, {"Bnd", all}, {"Amb", kill}} {
		fmt.Fprintf(&want, "Cap%s:\t%016x\n", set.name, set.bits)
	}
	if out := b.run(); out != want.String() {
		t.Errorf("got\n%swant\n%s", out, &want)
	}
}

func oomInherited(t *testing.T) {
	ours, err := os.ReadFile("/proc/self/oom_score_adj")
	check(t, err)
	inside(strings.TrimSpace(string(ours)), "cat /proc/self/oom_score_adj")(t)
}

func terminal(t *testing.T) {
	b := newBox(t, sh("tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && [ -c /dev/console ] && echo all"), process(func(p *specs.Process) {
		p.Terminal, p.ConsoleSize = true, &specs.Box{Height: 12, Width: 34}
	}))
	socket := filepath.Join(b.bundle, "console")
	got := listenForFile(t, socket)
	b.createFlags = []string{"--console-socket", socket}
	b.mustCreate()
	master := <-got
	if master == nil {
		t.Fatal("no terminal came")
	}
	defer master.Close()
	b.mustStart()
	b.wait()
	text := readTerminal(master)
	if want := "/dev/pts/0\r\n12 34\r\nall\r\n"; strings.Replace(text, "/dev/console", "/dev/pts/0", 1) != want {
		t.Errorf("got %q", text)
	}
}
