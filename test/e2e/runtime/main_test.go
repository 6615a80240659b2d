// Package runtime_test runs berth-runtime in the hands of others: Debian's Podman
// and dockerd, as root. The stories are scripts in testdata. All of it happens
// in namespaces of its own, so that those engines find no host to change.
package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/leak"
	"github.com/berth-engine/berth/test/story"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// inside is set where the namespaces are ours.
const inside = "BERTH_TEST_ALONE"

func run(m *testing.M) int {
	if filepath.Base(os.Args[0]) == filtered {
		return filteredMain(os.Args[1:])
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "test/e2e/runtime starts real containers: run it as root (make e2e)")
		return 1
	}
	if os.Getenv(inside) != "" {
		return m.Run()
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.CommandContext(context.Background(), "testdata/alone", append([]string{self}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestStories runs the stories in testdata. Beside testscript's own commands
// they may use:
//
//	code N PROGRAM ARGS…         runs it; its exit status must be N
//	output REGEXP PROGRAM ARGS…  repeats until its output matches (a minute at most)
//
// and the program filtered (filteredMain).
//
// The condition criu says that it is there and works on this kernel, criu:FEATURE
// that the two can do something more ("criu check --feature list").
//
// $BB is a tar file with a busybox root file system, $RUNTIME the program.
func TestStories(t *testing.T) {
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	bb := filepath.Join(t.TempDir(), "busybox.tar")
	makeTar(t, bb)
	deadline, _ := t.Deadline() // a program that hangs is ended before, and what it said is told
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	if err := os.Symlink(self, filepath.Join(tools, filtered)); err != nil {
		t.Fatal(err)
	}
	testscript.RunT(story.T{T: t}, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Deadline:            deadline,
		Setup: func(env *testscript.Env) error {
			s := env.T().(story.T).T
			before := state(s)
			env.Defer(func() { settle(s, before) })
			env.Vars = append(env.Vars, "BB="+bb, "RUNTIME="+filepath.Join(bin, "berth-runtime"), "TERM=xterm", "HOME="+env.WorkDir,
				"PATH="+bin+":"+tools+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if feature, is := strings.CutPrefix(name, "criu"); is {
				check := exec.CommandContext(t.Context(), "criu", "check")
				if feature != "" {
					check.Args = append(check.Args, "--feature", strings.TrimPrefix(feature, ":"))
				}
				check.Dir = filepath.Dir(bb) // the host's configuration may have it write there
				return check.Run() == nil, nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": story.Code, "output": story.Output},
	})
}

func state(t *testing.T) leak.State {
	t.Helper()
	const root = "/run/berth-runtime" // it stays when it was made
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := leak.Read(context.Background(), []string{root}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settle waits until nothing is left of a story but the empty folders of its
// engines.
func settle(t *testing.T, before leak.State) {
	var diff []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		diff = slices.DeleteFunc(leak.Diff(before, state(t)), func(d string) bool { return d[0] == '-' }) // others on the host end, too
		if len(diff) == 0 {
			return
		}
	}
	t.Errorf("left behind:\n%s", strings.Join(diff, "\n"))
}

// makeTar makes the root file system of the images and bundles.
func makeTar(t *testing.T, file string) {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const script = `cp -L "$(command -v busybox)" bin/busybox
for name in $(bin/busybox --list); do [ $name = busybox ] || ln -s busybox bin/$name; done
tar -cf "$1" .`
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script, "sh", file)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
