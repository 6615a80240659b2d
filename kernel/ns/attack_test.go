package ns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The program that runs as root cannot be overwritten by those who get hold of
// it through /proc/PID/exe (CVE-2019-5736), not even while it does not run.
func TestAttackSeals(t *testing.T) {
	f, err := SealedMemfd("x", bytes.NewReader([]byte("program")))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&want != want {
		t.Errorf("seals %x, %v", seals, err)
	}
	for _, flags := range []int{os.O_RDWR, os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND} {
		again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags, 0)
		if err != nil {
			continue
		}
		if _, err := again.Write([]byte("enemy")); err == nil {
			t.Errorf("written with flags %x", flags)
		}
		again.Close()
	}
}

// A process that restricts itself by a script is in a container already, and not
// yet what it will be: whoever may trace it there must find no descriptor of the
// host's in it, close-on-exec or not (CVE-2016-9962).
func TestAttackCloseOthers(t *testing.T) {
	host, err := os.Open("/etc")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	for _, sealed := range ways {
		pid, goOn := restricting(t, sealed)
		entries, err := os.ReadDir("/proc/" + pid + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			name, err := os.Readlink("/proc/" + pid + "/fd/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		if len(names) != 4 || slices.Contains(names, "/etc") { // streams and report
			t.Errorf("sealed %v, descriptors: %q", sealed, names)
		}
		goOn()
	}
}

// Nor is its program one that could be written to when it has ended
// (CVE-2019-5736).
func TestAttackTrampoline(t *testing.T) {
	if len(ways) == 1 {
		t.Log("no trampoline for this processor: a stage does what it would do")
		return
	}
	pid, goOn := restricting(t, true)
	defer goOn()
	if exe, err := os.Readlink("/proc/" + pid + "/exe"); err != nil || !strings.HasPrefix(exe, "/memfd:trampoline") {
		t.Errorf("%s, %v", exe, err)
	}
	f, err := os.OpenFile("/proc/"+pid+"/exe", os.O_RDWR, 0)
	if err == nil {
		f.Close()
		t.Error("its program can be opened to be written to")
	}
}

// restricting makes a process that waits in the midst of its script until goOn,
// and then does not find its program.
func restricting(t *testing.T, sealed bool) (pid string, goOn func()) {
	t.Helper()
	stdin, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &Script{Program: []string{"/nosuch"}, Args: []string{"x"}}
	s.do(unix.SYS_READ, 0, at(put(&s.arena, []byte{0})), 1)
	s.Find()
	ended := make(chan error, 1)
	go func() {
		_, _, err := Spawn(&SpawnSpec{Script: s, Seal: sealer(sealed), Files: []*os.File{stdin, null, null}})
		ended <- err
	}()
	return reading(t), func() {
		if _, err := hold.Write([]byte{1}); err != nil { // its end may be open in the child, too
			t.Fatal(err)
		}
		hold.Close()
		if err := <-ended; !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
		stdin.Close()
		null.Close()
	}
}

// reading returns our child when it reads from a pipe.
func reading(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		lists, err := filepath.Glob("/proc/self/task/*/children")
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range lists {
			children, _ := os.ReadFile(list) // of a thread that has ended
			for pid := range strings.FieldsSeq(string(children)) {
				call, _ := os.ReadFile("/proc/" + pid + "/syscall")
				if strings.HasPrefix(string(call), "0 0x0 ") { // read(0, …
					return pid
				}
			}
		}
	}
	t.Fatal("no child waits")
	return ""
}
