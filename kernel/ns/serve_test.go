package ns

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// serving is a process that serves s, and our end of its socket. It is ended with
// the test.
func serving(t *testing.T, s *Script, join []JoinNS) (pid int, control *os.File) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("a trampoline is a program for amd64")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	control, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	t.Cleanup(func() { control.Close() })
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	kinds := 0
	for _, j := range join {
		kinds |= j.Kind
	}
	program, err := s.Forker(kinds)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	settings := &Script{Settings: s.Settings}
	pid, pidfd, err := Spawn(&SpawnSpec{Script: settings, Seal: Given(program), Files: []*os.File{null, theirs, null}, Join: join, Outside: true})
	if err != nil {
		t.Fatal(err)
	}
	pidfd.Close()
	return pid, control
}

// serve has one run and returns what it said and how it ended.
func serve(t *testing.T, control *os.File) (text string, pid int, status syscall.WaitStatus, err error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = unix.Sendmsg(int(control.Fd()), []byte{0}, unix.UnixRights(int(w.Fd())), nil, 0)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 64)
	n, err := control.Read(message)
	if err != nil {
		return "", 0, 0, err
	}
	if pid, status, err = Served(message[:n]); err != nil {
		return "", 0, 0, err
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all), pid, status, nil
}

// TestServe: each run is a process of its own, restricted as the script says,
// with the output that it is given and no descriptor more, and in the pid
// namespace that its parent is not in.
func TestServe(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	one, pidfd := target(t, unix.CLONE_NEWPID)
	s := &Script{
		Settings: []Setting{{"/proc/self/oom_score_adj", "7"}},
		Program:  []string{"/nosuch/program", self}, Args: []string{childName, "a"}, Env: []string{"B=c"},
	}
	s.DefaultSignals([]int{int(unix.SIGHUP)})
	s.NoNewPrivs()
	s.Undumpable()
	s.Serve()
	if err := s.Chdir("/proc"); err != nil {
		t.Fatal(err)
	}
	s.WorkingDirInRoot()
	s.Find()
	pid, control := serving(t, s, []JoinNS{{File: pidfd, Kind: unix.CLONE_NEWPID}})
	for range 3 {
		text, child, status, err := serve(t, control)
		var got seen
		if err := errors.Join(err, json.Unmarshal([]byte(text), &got)); err != nil || status != 0 {
			t.Fatalf("%v, %x: %s", err, status, text)
		}
		if got.Dir != "/proc" || strings.Join(got.Args, " ") != childName+" a" || strings.Join(got.Env, " ") != "B=c" ||
			strings.Join(got.FDs, " ") != "0 1 2" || got.In != "" || child <= 0 || got.PID == child {
			t.Errorf("%d: %+v", child, got)
		}
		want, err := os.Readlink("/proc/" + strconv.Itoa(one) + "/ns/pid")
		if err != nil || got.NS["pid"] != want {
			t.Errorf("in %s, not in %s: %v", got.NS["pid"], want, err)
		}
	}
	if own, err := os.Readlink("/proc/self/ns/pid"); err != nil {
		t.Error(err)
	} else if its, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid"); err != nil || its != own {
		t.Errorf("it is in %s itself, %v", its, err)
	}
	control.Close()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 1 {
		t.Errorf("without anybody to serve: %v, %x", err, status)
	}
}

// TestServeFails: a child that cannot execute the program says why.
func TestServeFails(t *testing.T) {
	own, err := PidfdOpen(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for name, c := range map[string]struct {
		dir, program string
		errno        syscall.Errno
	}{
		"directory": {"/nosuch", "/proc/self/exe", unix.ENOENT},
		"program":   {"/", "/nosuch", unix.ENOENT},
		"text":      {"/", "/etc/passwd", unix.ENOENT},
	} {
		s := &Script{Program: []string{c.program}, Args: []string{childName}}
		s.Serve()
		if err := s.Chdir(c.dir); err != nil {
			t.Fatal(err)
		}
		s.Find()
		pid, control := serving(t, s, []JoinNS{{File: own, Kind: unix.CLONE_NEWUTS}})
		var failed *SpawnError
		if text, _, _, err := serve(t, control); !errors.As(err, &failed) || failed.Err != c.errno {
			t.Errorf("%s: %v, %s", name, err, text)
		}
		control.Close()
		reap(pid)
	}
	if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("a child is left: %v", err)
	}
	for _, message := range []string{"", "12345678", "1"} {
		if _, _, err := Served([]byte(message)); err == nil {
			t.Errorf("%q is taken", message)
		}
	}
}
