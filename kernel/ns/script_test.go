package ns

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sealer is the way to have a script done in a sealed program, or not.
func sealer(sealed bool) Sealer {
	if sealed {
		return Trampoline
	}
	return nil
}

// perform spawns s with its output connected, and returns that.
func perform(t *testing.T, s *Script, sealed bool) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	pid, pidfd, err := Spawn(&SpawnSpec{Script: s, Seal: sealer(sealed), Setsid: true, Files: []*os.File{null, w, null}})
	w.Close()
	if err != nil {
		return "", err
	}
	defer pidfd.Close()
	defer reap(pid)
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), nil
}

// ways are those in which a script can be done here: by a copy of this program,
// and by a trampoline.
var ways = map[bool][]bool{true: {false, true}, false: {false}}[runtime.GOARCH == "amd64"]

// TestScript: the process restricts itself and executes the program, which
// gets what it is meant to get and no descriptor more.
func TestScript(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &Script{
		Settings: []Setting{{"/proc/self/oom_score_adj", "7"}},
		Program:  []string{"/nosuch/program", self}, Args: []string{childName, "a"}, Env: []string{"B=c"},
	}
	s.DefaultSignals([]int{int(unix.SIGHUP)})
	s.SetLimit(unix.RLIMIT_CORE, 0, 0)
	s.Umask(0o077)
	if err := s.Chdir("/proc"); err != nil {
		t.Fatal(err)
	}
	s.WorkingDirInRoot()
	s.NoNewPrivs()
	s.Undumpable()
	s.Find()
	for _, sealed := range ways {
		text, err := perform(t, s, sealed)
		var got seen
		if err := errors.Join(err, json.Unmarshal([]byte(text), &got)); err != nil {
			t.Fatalf("sealed %v: %v: %s", sealed, err, text)
		}
		if got.Dir != "/proc" || !slices.Equal(got.Args, []string{childName, "a"}) || !slices.Equal(got.Env, []string{"B=c"}) ||
			strings.Join(got.FDs, " ") != "0 1 2" {
			t.Errorf("%+v", got)
		}
	}
}

// TestScriptFails: the call that fails is told, and nothing is left.
func TestScriptFails(t *testing.T) {
	for name, c := range map[string]struct {
		script func(s *Script) error
		errno  syscall.Errno
	}{
		"directory":              {func(s *Script) error { return s.Chdir("/nosuch") }, unix.ENOENT},
		"limit":                  {func(s *Script) error { s.SetLimit(-1, 0, 0); return nil }, unix.EINVAL},
		"program":                {func(s *Script) error { s.Program = []string{"/nosuch", "/etc/passwd"}; return nil }, unix.ENOENT},
		"directory as a program": {func(s *Script) error { s.Program = []string{"/etc"}; return nil }, unix.EACCES},
		"setting":                {func(s *Script) error { s.Settings = []Setting{{"/proc/self/oom_score_adj", "x"}}; return nil }, unix.EINVAL},
	} {
		s := &Script{Program: []string{"/proc/self/exe"}, Args: []string{childName}}
		if err := c.script(s); err != nil {
			t.Fatal(err)
		}
		s.Find()
		var failed *SpawnError
		for _, sealed := range ways {
			if text, err := perform(t, s, sealed); !errors.As(err, &failed) || !errors.Is(err, c.errno) {
				t.Errorf("%s, sealed %v: %v, %s", name, sealed, err, text)
			}
		}
	}
	if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("a child is left: %v", err)
	}
}

// TestScriptKilled: a filter that was there kills the process at a call of the
// script. That is no execution, and nothing is left. Behind Tell, it is the
// program's own end.
func TestScriptKilled(t *testing.T) {
	kill := []unix.SockFilter{ // umask(2) ends the process
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_UMASK, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x80000000},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},
	}
	program := unsafe.Slice((*byte)(unsafe.Pointer(&kill[0])), len(kill)*int(unsafe.Sizeof(kill[0])))
	for _, before := range []bool{true, false} {
		s := &Script{Program: []string{"/proc/self/exe"}, Args: []string{childName}}
		s.NoNewPrivs()
		if err := s.LoadSeccomp(program, 0); err != nil {
			t.Fatal(err)
		}
		if before {
			s.Umask(0o22)
		}
		s.Find()
		s.Tell()
		if !before {
			s.Umask(0o22)
		}
		for _, sealed := range ways {
			if text, err := perform(t, s, sealed); errors.Is(err, ErrKilled) != before || !before && err != nil || text != "" {
				t.Errorf("killed before %v, sealed %v: %v, %s", before, sealed, err, text)
			}
		}
	}
	if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("a child is left: %v", err)
	}
}
