package conformance

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSeccomp is config-linux.md's seccomp.
func TestSeccomp(t *testing.T) {
	const section = "config-linux.md#seccomp"
	mkdirs := []string{"mkdir", "mkdirat"}
	rule := func(action specs.LinuxSeccompAction, errno *uint, names []string, args ...specs.LinuxSeccompArg) edit {
		return seccomp(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: names, Action: action, ErrnoRet: errno, Args: args}}})
	}
	const try = "mkdir /tmp/x 2>&1 || true"
	hold(t, []must{
		{section, "an action of errno is EPERM by itself", inside("mkdir: can't create directory '/tmp/x': Operation not permitted", try, rule(specs.ActErrno, nil, mkdirs))},
		{section, "errnoRet", inside("mkdir: can't create directory '/tmp/x': No space left on device", try, rule(specs.ActErrno, new(uint(28)), mkdirs))},
		{section, "defaultAction with defaultErrnoRet", inside("mkdir: can't create directory '/tmp/x': Function not implemented", try, defaultErrno)},
		{section, "an error for an errnoRet that the action does not have", refused(rule(specs.ActKillProcess, new(uint(1)), mkdirs))},
		{section, "an error for a defaultErrnoRet that the action does not have", refused(seccomp(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: new(uint(1))}))},
		{section, "an error for no names", refused(rule(specs.ActErrno, nil, nil))},
		{section, "an error for an action that is unknown", refused(rule("SCMP_ACT_SMILE", nil, mkdirs))},
		{section, "an error for an architecture that is unknown", refused(seccomp(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_Z80"}}))},
		{section, "an error for an operator that is unknown", refused(rule(specs.ActErrno, nil, mkdirs, specs.LinuxSeccompArg{Op: "SCMP_CMP_NEARLY"}))},
		{section, "an error for a flag that is unknown", refused(seccomp(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NONE"}}))},
		{section, "kill", inside("killed", "(mkdir /tmp/x); [ $? = 159 ] && echo killed", rule(specs.ActKillProcess, nil, mkdirs))},
		{section, "arguments", inside("yes no", "touch /tmp/f; for m in 700 705; do chmod $m /tmp/f 2>/dev/null && echo yes || echo no; done | xargs",
			rule(specs.ActErrno, nil, []string{"chmod"}, specs.LinuxSeccompArg{Index: 1, Value: 0o705, Op: specs.OpEqualTo}))},
		{section, "getcwd may be denied", inside("fine", "echo fine", rule(specs.ActErrno, nil, []string{"getcwd"}))},
		{section, "the architecture of the host is covered if none is listed", inside("Seccomp: 2", "grep Seccomp: /proc/self/status | xargs", rule(specs.ActErrno, nil, mkdirs))},
		{section, "with no_new_privileges and no capabilities", inside("Seccomp: 2", "grep Seccomp: /proc/self/status | xargs", rule(specs.ActErrno, nil, mkdirs),
			process(func(p *specs.Process) {
				p.NoNewPrivileges, p.Capabilities, p.User = true, &specs.LinuxCapabilities{}, specs.User{UID: 7, GID: 7}
			}))},
		{section, "the exec'ed process has it too", execFiltered(rule(specs.ActErrno, nil, mkdirs))},
		{section, "an error for listenerMetadata without listenerPath", refused(seccomp(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerMetadata: "x"}))},
		{section, "an error for notify without listenerPath", refused(rule(specs.ActNotify, nil, mkdirs))},
		{section, "an error for a listenerPath that nobody listens on", refused(rule(specs.ActNotify, nil, mkdirs), linux(func(l *specs.Linux) { l.Seccomp.ListenerPath = "/nobody/here" }))},
		{"config-linux.md#containerprocessstate", "is sent once, with the descriptor", notified(rule(specs.ActNotify, nil, mkdirs))},
	})
}

func seccomp(s specs.LinuxSeccomp) edit {
	return linux(func(l *specs.Linux) { l.Seccomp = &s })
}

// defaultErrno allows what a shell needs and has ENOSYS for the rest.
func defaultErrno(s *specs.Spec) {
	seccomp(specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: new(uint(38)), Syscalls: []specs.LinuxSyscall{{Action: specs.ActAllow, Names: strings.Fields(`
		accept4 access arch_prctl brk capget capset chdir clone clone3 close close_range dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait eventfd2 execve execveat exit exit_group
		faccessat faccessat2 fchdir fchown fcntl fork fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getgroups getpeername getpgrp
		getpid getppid getrandom getsid gettid getuid ioctl lseek lstat madvise mmap mprotect mremap munmap nanosleep newfstatat
		openat pipe pipe2 poll ppoll prctl pread64 prlimit64 read readlink readlinkat recvfrom recvmsg rseq rt_sigaction rt_sigprocmask rt_sigreturn
		sched_getaffinity sched_yield seccomp sendmsg sendto set_robust_list set_tid_address setgid setgroups setresgid setresuid setsid setuid shutdown sigaltstack
		stat statfs statx sysinfo tgkill umask uname unlink vfork wait4 waitid write writev
	`)}}})(s)
}

func execFiltered(rule edit) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t, waits, rule)
		b.mustCreate()
		b.mustStart()
		if out, err := b.do("exec", b.id, "mkdir", "/tmp/x"); err == nil {
			t.Errorf("exec mkdir succeeds: %s", out)
		}
	}
}

// notified is the agent that a runtime must talk to.
func notified(rule edit) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t, rule)
		path := filepath.Join(b.bundle, "agent")
		b.spec.Linux.Seccomp.ListenerPath, b.spec.Linux.Seccomp.ListenerMetadata = path, "told"
		b.write()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		check(t, err)
		defer l.Close()
		check(t, l.SetDeadline(time.Now().Add(patience)))
		type message struct {
			data  []byte
			files int
			more  int
			err   error
		}
		got := make(chan message, 1)
		go func() {
			conn, err := l.AcceptUnix()
			if err != nil {
				got <- message{err: err}
				return
			}
			defer conn.Close()
			data, files, err := receive(conn)
			for _, f := range files {
				defer f.Close()
			}
			more, _ := conn.Read(make([]byte, 1))
			got <- message{data, len(files), more, err}
		}()
		b.mustCreate()
		b.mustStart()
		m := <-got
		check(t, m.err)
		var s specs.ContainerProcessState
		check(t, json.Unmarshal(m.data, &s))
		if m.more != 0 || m.files != len(s.Fds) || len(s.Fds) == 0 || s.Fds[0] != specs.SeccompFdName {
			t.Errorf("%d files and %d bytes after it: %s", m.files, m.more, m.data)
		}
		if s.Version == "" || s.Pid != b.last || s.Metadata != "told" || s.State.ID != b.id || s.State.Bundle != b.bundle || s.State.Pid != b.last {
			t.Errorf("state: %s", m.data)
		}
	}
}
