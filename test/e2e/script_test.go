package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/leak"
	"github.com/rogpeppe/go-internal/testscript"
)

// condition tells what scripts ask of the host: [apparmor], whether its kernel
// confines by AppArmor.
func condition(name string) (bool, error) {
	if name != "apparmor" {
		return false, fmt.Errorf("there is no condition %q", name)
	}
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(b), "Y"), nil
}

// TestScripts runs the stories in testdata. Beside testscript's own commands
// they may use:
//
//	berthd start|stop|kill [flags]  the story's own daemon
//	baseline                        remembers what exists now
//	noleak                          fails if anything exists beyond the baseline
//	until PROGRAM ARGS…             repeats until it succeeds (20 s at most)
//	output REGEXP PROGRAM ARGS…     repeats until its output matches
//	code N PROGRAM ARGS…            runs it; its exit status must be N
//	api METHOD PATH [BODY]          a raw request; stdout is body and status
//	pty STEPS PROGRAM ARGS…         runs it on a terminal (pty_test.go)
//	port NAME                       sets $NAME to a free port
//
// $HUB is the shared Hub's address, reached as docker.io; $OTHER is an OCI runtime
// beside runc.
func TestScripts(t *testing.T) {
	deadline, _ := t.Deadline() // a program that hangs is ended before, and what it said is told
	testscript.RunT(story{t}, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Deadline:            deadline,
		Setup:               setUp,
		Condition:           condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"berthd":   cmdBerthd,
			"baseline": cmdBaseline,
			"noleak":   cmdNoLeak,
			"until":    cmdUntil,
			"output":   cmdOutput,
			"pty":      cmdPty,
			"code":     cmdCode,
			"api":      cmdAPI,
			"port":     cmdPort,
		},
	})
}

// story is a test in testscript's form whose scripts run one after the other:
// each compares the state of the whole host.
type story struct{ *testing.T }

func (s story) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(story{t}) })
}

func (story) Parallel()     {}
func (story) Verbose() bool { return testing.Verbose() }

type key int

const (
	keyDaemon key = iota
	keyTest
	keyBaseline
)

func setUp(env *testscript.Env) error {
	s, ok := env.T().(story)
	if !ok {
		return fmt.Errorf("testscript's T is a %T", env.T())
	}
	d := newDaemon(s.T)
	env.Values[keyDaemon] = d
	env.Values[keyTest] = s.T
	describe(env, d)
	return nil
}

func cmdBerthd(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(keyDaemon).(*engine.Daemon)
	if len(args) == 0 {
		ts.Fatalf("usage: berthd start|stop|kill")
	}
	var err error
	switch args[0] {
	case "start":
		err = d.Start(ts.Value(keyTest).(*testing.T).Context(), args[1:]...)
	case "stop":
		err = d.Stop()
	case "kill":
		err = d.Kill()
	case "reload":
		err = syscall.Kill(d.Pid(), syscall.SIGHUP)
	default:
		ts.Fatalf("berthd %s: unknown", args[0])
	}
	outcome(ts, neg, err)
}

func outcome(ts *testscript.TestScript, neg bool, err error) {
	switch {
	case err != nil && !neg:
		ts.Fatalf("%v", err)
	case err == nil && neg:
		ts.Fatalf("unexpected success")
	case err != nil:
		ts.Logf("as expected: %v", err)
	}
}

func cmdBaseline(ts *testscript.TestScript, _ bool, _ []string) {
	d := ts.Value(keyDaemon).(*engine.Daemon)
	ts.Defer(func() { delete(baselines, d) })
	baselines[d] = idle(ts.Value(keyTest).(*testing.T), d)
}

// baselines holds the remembered state of each story; stories run one after
// the other.
var baselines = map[*engine.Daemon]leak.State{}

func cmdNoLeak(ts *testscript.TestScript, _ bool, _ []string) {
	d := ts.Value(keyDaemon).(*engine.Daemon)
	before, ok := baselines[d]
	if !ok {
		ts.Fatalf("noleak without baseline")
	}
	noLeak(ts.Value(keyTest).(*testing.T), d, before)
}

func program(ts *testscript.TestScript, args []string) *exec.Cmd {
	path := args[0]
	if !strings.Contains(path, "/") {
		for dir := range strings.SplitSeq(ts.Getenv("PATH"), ":") {
			if info, err := os.Stat(dir + "/" + path); err == nil && !info.IsDir() {
				path = dir + "/" + path
				break
			}
		}
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"PATH", "HOME", "BERTH_HOST", "DOCKER_HOST", "DOCKER_CONFIG", "TERM"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// repeat runs the program until ok accepts its outcome.
func repeat(ts *testscript.TestScript, args []string, ok func(out string, err error) bool) {
	var out []byte
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, err = program(ts, args).CombinedOutput()
		if ok(string(out), err) {
			return
		}
	}
	ts.Fatalf("%q: waited in vain; last: %v\n%s", args, err, out)
}

func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	repeat(ts, args, func(_ string, err error) bool { return (err == nil) != neg })
}

func cmdOutput(ts *testscript.TestScript, neg bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	repeat(ts, args[1:], func(out string, _ error) bool { return re.MatchString(out) != neg })
}

func cmdPort(ts *testscript.TestScript, _ bool, args []string) {
	port, err := engine.FreePort()
	ts.Check(err)
	ts.Setenv(args[0], port)
}

func cmdCode(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%q: exit status %d, want %s", args[1:], code, args[0])
	}
}

// cmdAPI sends one request with curl, because a client library would not send
// what is malformed. BODY -oversized is a JSON document beyond every bound.
func cmdAPI(ts *testscript.TestScript, _ bool, args []string) {
	flags := []string{
		"-sS", "-g", "--unix-socket", ts.Value(keyDaemon).(*engine.Daemon).Socket, "-X", args[0],
		"-w", "\n%{http_code}\n", "-H", "Content-Type: application/json", "-H", "Expect:",
	}
	if len(args) > 2 {
		body := args[2]
		if body == "-oversized" {
			path := ts.MkAbs("oversized.json")
			huge := `{"Image":"busybox","Hostname":"` + strings.Repeat("a", 64<<20) + `"}`
			ts.Check(os.WriteFile(path, []byte(huge), 0o600))
			body = "@" + path
		}
		flags = append(flags, "--data-binary", body)
	}
	ts.Check(ts.Exec("curl", append(flags, "http://berth"+args[1])...))
}

// otherRuntime is an OCI runtime beside runc. crun refuses hosts that have
// controllers in a cgroup v2 hierarchy beside those of v1.
func otherRuntime() string {
	controllers, err := os.ReadFile("/sys/fs/cgroup/unified/cgroup.controllers")
	if err == nil && len(strings.TrimSpace(string(controllers))) > 0 {
		return "/usr/sbin/runc"
	}
	return "/usr/bin/crun"
}
