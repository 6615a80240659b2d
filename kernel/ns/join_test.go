package ns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSpawnTwice: a pid namespace that belongs to a joined user namespace, and
// one that is joined, with a time namespace.
func TestSpawnTwice(t *testing.T) {
	user, err := NewUserNS([]IDMap{{0, 100000, 1000}}, []IDMap{{0, 100000, 1000}})
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	clock, err := NewTimeNS([]TimeOffset{{"monotonic", 1000, 5}, {"boottime", -1, 0}})
	if err != nil {
		t.Fatal(err)
	}
	defer clock.Close()
	self()
	before := openFiles(t)
	got := see(t, &SpawnSpec{
		Twice: true, Root: true, Setsid: true, Unshare: unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		Join: []JoinNS{{clock, unix.CLONE_NEWTIME}, {user, unix.CLONE_NEWUSER}},
	})
	if got.PID != 1 || got.UID != 0 || got.GID != 0 || len(got.Groups) != 0 || got.In != "input" {
		t.Errorf("%+v", got)
	}
	for kind, f := range map[string]*os.File{"user": user, "time": clock} {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		if got.NS[kind] != fmt.Sprintf("%s:[%d]", kind, st.Ino) {
			t.Errorf("%s is %s, not inode %d", kind, got.NS[kind], st.Ino)
		}
	}
	pid, _ := target(t, unix.CLONE_NEWPID)
	pids, err := Open(fmt.Sprintf("/proc/%d/ns/pid", pid), unix.CLONE_NEWPID)
	if err != nil {
		t.Fatal(err)
	}
	got = see(t, &SpawnSpec{Twice: true, Join: []JoinNS{{pids, unix.CLONE_NEWPID}}})
	if link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || got.NS["pid"] != link || got.PID == 1 {
		t.Errorf("process %d in %s, not in %s", got.PID, got.NS["pid"], link)
	}
	pids.Close()
	if _, _, err := Spawn(&SpawnSpec{Exe: user, Args: []string{"x"}, Twice: true}); !errors.Is(err, syscall.EACCES) {
		t.Errorf("a program that is none: %v", err)
	}
	if _, _, err := Spawn(&SpawnSpec{Exe: self(), Args: []string{"x"}, Twice: true, Unshare: unix.CLONE_NEWUSER, Root: true}); err == nil || !strings.Contains(err.Error(), "become root") {
		t.Errorf("nobody is root: %v", err)
	}
	if n, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); n != 0 {
		t.Errorf("child %d is left, %v", n, err)
	}
	if after := openFiles(t); len(after) > len(before)+2 { // target's
		t.Errorf("descriptors %q, then %q", before, after)
	}
}

func TestOpenChecksTheKind(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/proc/self/ns/uts": "/proc/self/ns/uts is a uts namespace", "/dev/null": "/dev/null is not a namespace",
		fifo: "is not a namespace", "/nosuch": "no such file",
	} {
		f, err := Open(path, unix.CLONE_NEWPID)
		if err == nil || !strings.HasPrefix(err.Error(), "pid namespace: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
	for name, kind := range map[string]int{
		"mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS,
		"cgroup": unix.CLONE_NEWCGROUP, "user": unix.CLONE_NEWUSER, "time": unix.CLONE_NEWTIME,
	} {
		f, err := Open("/proc/self/ns/"+name, kind)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

func TestTimeOffsetsOutOfRange(t *testing.T) {
	if _, err := NewTimeNS([]TimeOffset{{"monotonic", -1 << 40, 0}}); err == nil || !strings.Contains(err.Error(), "range") {
		t.Error(err)
	}
	if _, err := NewTimeNS([]TimeOffset{{"realtime", 1, 0}}); err == nil {
		t.Error("the kernel has a clock more")
	}
}
