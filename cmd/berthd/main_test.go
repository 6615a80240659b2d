package main

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/config"
)

func TestRunWithoutADaemon(t *testing.T) {
	for _, tc := range []struct {
		args   string
		status int
		out    string // in stdout
		err    string // in stderr
	}{
		{"--help", 0, "--data-root", ""},
		{"--version", 0, "Berth version ", ""},
		{"--validate", 0, "configuration OK", ""},
		{"--nosuch", 1, "", "berthd: unknown flag: --nosuch"},
		{"--log-level loud", 1, "", "berthd: invalid logging level: loud"},
		{"extra", 1, "", "accepts no arguments"},
		{"--config-file /nonexistent", 1, "", "/nonexistent"},
	} {
		var stdout, stderr bytes.Buffer
		got := run(strings.Fields(tc.args), &stdout, &stderr)
		if got != tc.status || !strings.Contains(stdout.String(), tc.out) || !strings.Contains(stderr.String(), tc.err) || (tc.err == "") != (stderr.Len() == 0) {
			t.Errorf("%s: %d %q %q", tc.args, got, &stdout, &stderr)
		}
	}
}

// TestInitProcess is process 1 in TestInit.
func TestInitProcess(t *testing.T) {
	script := os.Getenv("BERTH_TEST_INIT")
	if script == "" {
		return // it is only the other test's child
	}
	status, err := initFor("/bin/sh", []string{"sh", "-c", script})
	if err != nil {
		t.Fatal(err)
	}
	os.Exit(status)
}

// TestInit: berthd as process 1 reaps what is not its own, passes signals on, and
// ends as its child does.
func TestInit(t *testing.T) {
	for name, tc := range map[string]struct {
		script string
		status int
	}{
		// A process that has ended can be sent signals until it is reaped.
		"orphan": {"orphan=$(sh -c 'sleep 0.05 >/dev/null & echo $!'); i=0; while kill -0 $orphan; do i=$((i+1)); [ $i -lt 500 ] || exit 9; sleep 0.01; done; exit 3", 3},
		"signal": {"trap 'exit 5' TERM; kill -TERM 1; while :; do sleep 0.01; done", 5},
		"killed": {"kill -KILL $$", 128 + 9},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInitProcess$")
			cmd.Env = append(os.Environ(), "BERTH_TEST_INIT="+tc.script)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
			if os.Geteuid() != 0 {
				cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			}
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != tc.status {
				t.Errorf("status %d, want %d: %s", got, tc.status, out)
			}
		})
	}
}

func testDaemon() *daemon { return &daemon{log: slog.New(slog.DiscardHandler)} }

// TestLockHolder is the process that holds the lock in TestClaim.
func TestLockHolder(t *testing.T) {
	root := os.Getenv("BERTH_TEST_HOLD")
	if root == "" {
		return // it is only the other test's child
	}
	release, err := testDaemon().claim(&config.Config{DataRoot: root, ExecRoot: root + "-exec"})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	os.Stdout.WriteString("held\n")
	var buf [1]byte
	_, _ = os.Stdin.Read(buf[:]) // until the other side closes
}

func TestClaim(t *testing.T) {
	dir := t.TempDir()
	cfg := &config.Config{DataRoot: filepath.Join(dir, "a", "data"), ExecRoot: filepath.Join(dir, "exec"), Pidfile: filepath.Join(dir, "pid")}
	d := testDaemon()
	release, err := d.claim(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{cfg.DataRoot: 0o710, cfg.ExecRoot: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	id := d.id
	if len(id) != 36 || d.name == "" {
		t.Errorf("id %q name %q", id, d.name)
	}
	release()
	if _, err := os.Stat(cfg.Pidfile); err == nil {
		t.Error("pid file left")
	}
	if release, err = d.claim(cfg); err != nil || d.id != id {
		t.Fatalf("again: %v, id %s", err, d.id)
	}
	release()

	// Another process holds it.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLockHolder$")
	cmd.Env = append(os.Environ(), "BERTH_TEST_HOLD="+cfg.DataRoot)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := out.Read(buf); err != nil || string(buf) != "held\n" {
		t.Fatalf("%q %v", buf, err)
	}
	_, err = d.claim(cfg)
	if pid := cmd.Process.Pid; err == nil || !strings.Contains(err.Error(), "in use already") || !strings.HasSuffix(err.Error(), " "+strconv.Itoa(pid)) {
		t.Errorf("second daemon (first is %d): %v", pid, err)
	}
	// It would end the other's containers.
	_, err = d.claim(&config.Config{DataRoot: filepath.Join(dir, "b"), ExecRoot: cfg.DataRoot + "-exec"})
	if err == nil || !strings.HasPrefix(err.Error(), "exec-root ") || !strings.Contains(err.Error(), "in use already") {
		t.Errorf("second daemon on the same exec-root: %v", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestForeignDirectoriesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "letter"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := testDaemon().claim(&config.Config{DataRoot: dir, ExecRoot: filepath.Join(t.TempDir(), "e")})
	if err == nil || !strings.Contains(err.Error(), "holds something else") {
		t.Errorf("%v", err)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o755 {
		t.Errorf("mode changed to %s", info.Mode())
	}
}

func TestPidfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	// Stale: no such process, garbage, or another program's number.
	for _, old := range []string{"", "999999999\n", "nonsense", "1\n"} {
		if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writePidfile(path, "42\n"); err != nil {
			t.Errorf("%q: %v", old, err)
		}
		if data, _ := os.ReadFile(path); string(data) != "42\n" {
			t.Errorf("%q: holds %q", old, data)
		}
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	testDaemon().notify("READY=1")
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 64)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("%q %v", buf[:n], err)
	}
}
