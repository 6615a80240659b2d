package ns

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNewUserNS(t *testing.T) {
	f, err := NewUserNS([]IDMap{{0, 100000, 1000}, {5000, 0, 1}}, []IDMap{{0, 200000, 65536}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	own, err := os.Open("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if same, err := Same(f, own); err != nil || same {
		t.Errorf("not a new one: %v", err)
	}
	// A process in it sees the mappings.
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nsenter, "--user=/proc/self/fd/3", "cat", "/proc/self/uid_map", "/proc/self/gid_map")
	cmd.ExtraFiles = []*os.File{f}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Join(strings.Fields(string(out)), " ") != "0 100000 1000 5000 0 1 0 200000 65536" {
		t.Errorf("%v: %s", err, out)
	}
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range children {
		if b, err := os.ReadFile(c); err == nil && len(b) > 0 {
			t.Errorf("children are left: %s", b)
		}
	}
}

func TestBadIDMaps(t *testing.T) {
	if _, err := NewUserNS([]IDMap{{0, 1, 10}, {5, 100, 10}}, []IDMap{{0, 1, 1}}); err == nil || !strings.Contains(err.Error(), `map ids "0 1 10\n5 100 10\n"`) {
		t.Errorf("overlapping: %v", err)
	}
	if _, err := NewUserNS(nil, nil); err == nil {
		t.Error("no mappings")
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		var st unix.Stat_t
		target, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		if unix.Lstat("/proc/self/fd/"+fd.Name(), &st) == nil && strings.Contains(target, "pidfd") {
			t.Errorf("left open: %s", target)
		}
	}
}

func TestNewNetNSOf(t *testing.T) {
	ids := []IDMap{{0, 100000, 1000}}
	user, err := NewUserNS(ids, ids)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	net, err := NewNetNSOf(user)
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	fd, err := unix.IoctlRetInt(int(net.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		t.Fatal(err)
	}
	owner := os.NewFile(uintptr(fd), "owner")
	defer owner.Close()
	if same, err := Same(owner, user); err != nil || !same {
		t.Errorf("it belongs to another user namespace: %v", err)
	}
	if _, err := NewNetNSOf(net); err == nil {
		t.Error("of a network namespace")
	}
}
