package sandbox

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What forks for health checks has joined the container, and holds the socket by which
// the daemon hears of them. Nobody in the container finds it, kills it or takes
// anything from it, and what it runs is given nothing but its streams (CVE-2016-9962,
// CVE-2019-5736, CVE-2024-21626).
func TestAttackForker(t *testing.T) {
	s := host(t, newRuntime(t, Options{}), "host")
	enemy := s.execTest(t, execSpec("enemy", "grab"))
	defer func() {
		_ = enemy.Signal(t.Context(), syscall.SIGKILL) // it may have ended
		out, _ := output(t, enemy.Stream())
		if strings.Contains(out, "taken") || strings.Contains(out, "looked into") || !strings.Contains(out, "ready") {
			t.Errorf("a neighbour tells: %s", out)
		}
		enemy.finish(t)
	}()

	spec := execSpec("", "look")
	spec.Process.User.UID = 1000
	f, err := s.Forker(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := "sees \"guest\" "
	for range 50 { // each is a chance for the neighbour
		code, out, err := f.Run(t.Context(), 1<<16)
		if err != nil || code != 0 {
			t.Fatalf("%d, %v, %s", code, err, out)
		}
		var descriptors []string
		for line := range strings.Lines(out) {
			line = strings.TrimSpace(line)
			name, isDescriptor := strings.CutPrefix(line, "descriptor ")
			switch {
			case isDescriptor:
				descriptors = append(descriptors, name)
			case strings.HasPrefix(line, "environment "):
				if want := fmt.Sprintf("environment %q", spec.Process.Env); line != want {
					t.Errorf("%s, want %s", line, want)
				}
			case strings.HasPrefix(line, "sees "):
				if !strings.HasPrefix(line, seen) || strings.Contains(line, "memfd") {
					t.Error(line)
				}
			case line != "in "+spec.Process.Cwd+" <nil> below 0":
				t.Error(line)
			}
		}
		if got := strings.Join(descriptors, ", "); got != "0 /dev/null, 1 pipe:, 2 pipe:" {
			t.Errorf("descriptors: %s", got)
		}
	}
	// It is the user's process, and yet what it has open is root's alone.
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprint("/proc/", f.pid, "/fd"), &st); err != nil || st.Uid != 0 {
		t.Errorf("its descriptors belong to user %d, %v", st.Uid, err)
	}
	if exe, err := os.Readlink(fmt.Sprint("/proc/", f.pid, "/exe")); err != nil || !strings.HasPrefix(exe, "/memfd:trampoline") {
		t.Errorf("its program is %s, %v", exe, err)
	}

	killer := s.forkerTest(t, "massacre")
	for range 3 {
		if code, out, err := killer.Run(t.Context(), 100); err != nil || code != 0 {
			t.Errorf("who kills all that it sees: %d, %v, %s", code, err, out)
		}
	}
	if _, _, err := f.Run(t.Context(), 1<<16); err != nil {
		t.Errorf("it was killed: %v", err)
	}
}
