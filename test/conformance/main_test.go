// Package conformance has one test for each requirement of the OCI runtime
// specification 1.3 that a Linux runtime can be held to, named after the section
// that makes it. They run the command line of a runtime, berth-runtime as a rule:
// BERTH_CONFORMANCE_RUNTIME names another one, which shows what the tests are
// worth. Every container is below a state directory and a control group of its
// own and ends with its test.
package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// runtime is the program under test; template holds the root file system that
// every bundle gets a copy of.
var runtime, template string

func TestMain(m *testing.M) {
	code, err := withPrograms(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withPrograms(run func() int) (int, error) {
	// The runtime leaves; its containers become our children.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	defer removeGroups()
	if runtime = os.Getenv("BERTH_CONFORMANCE_RUNTIME"); runtime != "" {
		if runtime, err = exec.LookPath(runtime); err != nil {
			return 0, err
		}
	} else {
		runtime = filepath.Join(dir, "berth-runtime")
		for _, name := range []string{"berth-runtime", "berth-sandbox"} {
			cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, name), "github.com/berth-engine/berth/cmd/"+name)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if text, err := cmd.CombinedOutput(); err != nil {
				return 0, fmt.Errorf("build %s: %w\n%s", name, err, text)
			}
		}
	}
	template = filepath.Join(dir, "template")
	if err := makeTemplate(template); err != nil {
		return 0, err
	}
	return run(), nil
}

// makeTemplate lays busybox and what a distribution would have beside it.
func makeTemplate(dir string) error {
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "mnt"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("tools/setup test installs it: %w", err)
	}
	// Links by name: --install wants the folders of every applet.
	return exec.Command("sh", "-c", `
		for a in $("$1" --list); do ln -s busybox "$2/bin/$a" || exit; done
		rm -f "$2/bin/busybox" && cp "$1" "$2/bin/busybox" || exit
		echo root:x:0:0::/:/bin/sh >"$2/etc/passwd" && echo root:x:0: >"$2/etc/group"
	`, "sh", busybox, dir).Run()
}

// groupOf is the control group below which this test process's containers are.
func groupOf() string { return fmt.Sprintf("/conformance-%d", os.Getpid()) }

func removeGroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup"} {
		groups, _ := filepath.Glob(pattern + groupOf())
		for _, g := range groups {
			_ = os.Remove(g)
		}
	}
}
