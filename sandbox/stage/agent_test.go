package stage

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	compiler "github.com/berth-engine/berth/sandbox/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// notification and answer are struct seccomp_notif and seccomp_notif_resp.
type notification struct {
	id         uint64
	pid, flags uint32
	number     int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

const (
	ioctlReceive = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	ioctlSend    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
)

// serveAgent accepts one connection and answers syslog with EXDEV and
// lets all else go on.
func serveAgent(t *testing.T, path string) <-chan specs.ContainerProcessState {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	got := make(chan specs.ContainerProcessState, 1)
	done := make(chan struct{})
	var tid atomic.Int64
	t.Cleanup(func() {
		l.Close()
		// A call that was there may be gone when it is to be received. Before Linux 6.11,
		// who waits for another is not told that nobody is left to make one.
		again := time.NewTicker(time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-done:
				return
			case <-again.C:
				_ = unix.Tgkill(os.Getpid(), int(tid.Load()), unix.SIGURG) // Go ignores it; the ioctl ends
			}
		}
	})
	go func() {
		runtime.LockOSThread() // and does not unlock it: the thread ends with this
		tid.Store(int64(unix.Gettid()))
		defer close(done)
		defer close(got)
		conn, err := l.AcceptUnix()
		if err != nil {
			return // not needed
		}
		defer conn.Close()
		buf, oob := make([]byte, 1<<16), make([]byte, 64)
		n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
		if err != nil {
			t.Error(err)
			return
		}
		rest, _ := io.ReadAll(conn)
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 {
			t.Errorf("%d messages, %v", len(messages), err)
			return
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			t.Errorf("descriptors %v, %v", fds, err)
			return
		}
		defer unix.Close(fds[0])
		var s specs.ContainerProcessState
		if err := json.Unmarshal(append(buf[:n], rest...), &s); err != nil {
			t.Error(err)
		}
		got <- s
		for {
			p := []unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}
			if _, err := unix.Poll(p, -1); err == nil && p[0].Revents&unix.POLLIN == 0 {
				return // nobody has the filter any more
			}
			var in notification
			if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), ioctlReceive, uintptr(unsafe.Pointer(&in))); e != 0 {
				continue // EINTR; ENOENT: the call was interrupted by a signal, and begins anew
			}
			out := answer{id: in.id, flags: 1} // SECCOMP_USER_NOTIF_FLAG_CONTINUE
			if in.number == unix.SYS_SYSLOG {
				out.errno, out.flags = -int32(unix.EXDEV), 0
			}
			_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), ioctlSend, uintptr(unsafe.Pointer(&out)))
		}
	}()
	return got
}

func notifyProfile(path string) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: path, ListenerMetadata: "meta\"data",
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
		Flags:         []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv, "SECCOMP_FILTER_FLAG_TSYNC"},
		// Many that the stage itself makes: they wait for the agent.
		Syscalls: []specs.LinuxSyscall{{Names: []string{"syslog", "close", "fcntl", "openat", "newfstatat", "getcwd", "setresuid", "capset", "execve"}, Action: specs.ActNotify}},
	}
}

func TestSeccompAgent(t *testing.T) {
	noLeak(t)
	for _, nnp := range []bool{false, true} {
		for _, hooked := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "agent.sock")
			got := serveAgent(t, path)
			b, h, _ := hookBox(t, "/probe", "syscall", "103", "39") // syslog, getpid
			b.config.Spec.Process.NoNewPrivileges = nnp
			if hooked {
				h.StartContainer = []specs.Hook{{Path: "/probe", Args: []string{"hook", "syscall", "103"}}}
			}
			profile := notifyProfile(path)
			b.config.Spec.Linux.Seccomp = profile
			var err error
			b.config.Seccomp, err = compiler.Compile(profile)
			must(t, err)
			must(t, b.spawn())
			pid := b.process.Pid
			want := specs.ContainerProcessState{
				Version: specs.Version, Fds: []string{"seccompFd"}, Pid: pid, Metadata: "meta\"data",
				State: specs.State{Version: specs.Version, ID: "box", Status: "creating", Pid: pid, Bundle: b.dir, Annotations: map[string]string{"a": "b"}},
			}
			if s := <-got; !reflect.DeepEqual(s, want) {
				t.Errorf("%+v\n%+v", s, want)
			}
			must(t, b.process.Start())
			if code := b.wait(); code != 0 || b.stdout.String() != "103 18\n39 0\n" {
				t.Errorf("nnp=%v: exit %d, %q", nnp, code, b.stdout.String())
			}
		}
	}
}

// TestSeccompAgentOfEntry: the agent is told of each further process, too.
func TestSeccompAgentOfEntry(t *testing.T) {
	b, _, _ := hookBox(t, "/probe", "pause")
	must(t, b.spawn())
	must(t, b.process.Start())
	for _, nnp := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "agent.sock")
		got := serveAgent(t, path)
		profile := notifyProfile(path)
		var err error
		b.config.Spec.Linux.Seccomp = profile
		b.config.Seccomp, err = compiler.Compile(profile)
		must(t, err)
		p := process("/probe", "syscall", "103", "39")
		p.NoNewPrivileges = nnp
		if out, code := b.inside(p); code != 0 || out != "103 18\n39 0\n" {
			t.Errorf("nnp=%v: exit %d, %q", nnp, code, out)
		}
		s := <-got
		if s.State.Pid != b.process.Pid || s.State.Status != "running" || s.Pid == b.process.Pid || s.Pid == 0 || s.State.ID != "box" {
			t.Errorf("%+v", s)
		}
	}
	b.config.State = nil
	if _, err := PrepareEntry(&b.config); err == nil || !strings.Contains(err.Error(), "need a state") {
		t.Error(err)
	}
}

// TestSeccompAgentAbsent: no container without its agent.
func TestSeccompAgentAbsent(t *testing.T) {
	noLeak(t)
	b, _, _ := hookBox(t, "/probe")
	profile := notifyProfile(filepath.Join(t.TempDir(), "nobody.sock"))
	b.config.Spec.Linux.Seccomp = profile
	var err error
	b.config.Seccomp, err = compiler.Compile(profile)
	must(t, err)
	if err := b.spawn(); err == nil || !strings.Contains(err.Error(), "failed to connect with seccomp agent: connect to ") {
		t.Error(err)
	}
	b, _, _ = hookBox(t, "/probe")
	b.config.Spec.Linux.Seccomp, b.config.State = profile, nil
	if err := b.spawn(); err == nil || !strings.Contains(err.Error(), "need a state") {
		t.Error(err)
	}
}
