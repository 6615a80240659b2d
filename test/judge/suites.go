package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// groupTimeout bounds one program or file of cases; the slowest take about two
// minutes on a machine that has nothing else to do.
const groupTimeout = 15 * time.Minute

// endLeftovers ends the terminals' other ends that a failed case has left when all
// cases are through: they hold the pipe whose end bats waits for. There are no
// others here (test/judge/alone).
const endLeftovers = `(sleep 20; while pgrep -f '[b]ats-exec-suite' >/dev/null; do sleep 1; done; pkill recvtty) </dev/null >/dev/null 2>&1 & `

// A judge is one suite that was fetched.
type judge struct {
	name string
	dir  string // what test/judge/fetch laid
	// files are the programs, relative to dir, as a pattern.
	files string
	// command returns what runs one of them, and variables for it.
	command func(file, runtime string) (args, env []string)
}

func judges(dir string) []judge {
	return []judge{
		{
			name: "runtime-tools", dir: filepath.Join(dir, "runtime-tools"), files: "bin/*.t",
			command: func(file, runtime string) (args, env []string) {
				return []string{file}, []string{"RUNTIME=" + runtime}
			},
		},
		{
			name: "runc", dir: filepath.Join(dir, "runc"), files: "tests/integration/*.bats",
			command: func(file, runtime string) (args, env []string) {
				// Most cases want a controlling terminal.
				args = []string{"script", "-qefc", endLeftovers + "bats --formatter tap " + file, "/dev/null"}
				env = []string{"RUNC=" + runtime}
				// bats watches the time by a background process, for which a case
				// waits that says "wait" without a number. They are in this file.
				if filepath.Base(file) != "events.bats" {
					env = append(env, "BATS_TEST_TIMEOUT=120")
				}
				return args, env
			},
		},
	}
}

// run judges one runtime by every file whose base name contains one of only,
// or by all of them, and keeps the report in the folder out as it grows.
func (j judge) run(ctx context.Context, runtime target, only []string, out string) (*report, error) {
	version, err := os.ReadFile(filepath.Join(j.dir, "VERSION"))
	if err != nil {
		return nil, fmt.Errorf("no such judge here (make judge fetches them): %w", err)
	}
	files, err := filepath.Glob(filepath.Join(j.dir, j.files))
	if err != nil {
		return nil, err
	}
	r := &report{
		Suite: j.name, SuiteVersion: strings.TrimSpace(string(version)), Runtime: runtime.name,
		Version: runtime.version(ctx), Host: host(), Date: time.Now().UTC().Truncate(time.Second),
	}
	for _, file := range files {
		base := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		if !wanted(base, only) {
			continue
		}
		g, err := j.group(ctx, base, file, runtime.path)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s %-36s %s: %d pass, %d fail, %d skip (%.0fs)\n", j.name, base, runtime.name, g.count(pass), g.count(fail), g.count(skip), g.Seconds)
		r.Groups = append(r.Groups, g)
		if err := r.store(out); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func wanted(name string, only []string) bool {
	for _, o := range only {
		if strings.Contains(name, o) {
			return true
		}
	}
	return len(only) == 0
}

// group runs one program or file by itself, alone on the host.
func (j judge) group(ctx context.Context, name, file, runtime string) (group, error) {
	tmp, err := os.MkdirTemp("", "j")
	if err != nil {
		return group{}, err
	}
	defer os.RemoveAll(tmp)
	// Containers with mapped users must get through to their root.
	if err := os.Chmod(tmp, 0o755); err != nil {
		return group{}, err
	}
	limited, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	args, env := j.command(file, runtime)
	cmd := exec.CommandContext(limited, "test/judge/alone", append([]string{"env", "-C", j.dir}, args...)...)
	cmd.Env = append(append(os.Environ(), "TMPDIR="+tmp), env...)
	// Standard input that never ends, or script would type an end of file.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return group{}, err
	}
	defer stdin.Close()
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) } // it ends the rest
	cmd.WaitDelay = 20 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	ended := cmd.Run()
	g := group{Name: name, Seconds: float64(time.Since(start).Milliseconds()/100) / 10}
	said := out.String()
	if g.Verdicts, err = readTAP(&out); err != nil {
		return group{}, fmt.Errorf("%s: %w", name, err)
	}
	switch exited := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		return group{}, ctx.Err()
	case ended == nil && len(g.Verdicts) > 0:
	case ended == nil && !strings.Contains(said, `"error":`):
		// Some of runtime-tools' programs count nothing when all is well.
		g.Verdicts = []verdict{{Name: "(runs to its end)", Outcome: pass}}
	case errors.As(ended, &exited) && g.count(fail) > 0:
	default:
		// It ended without a verdict on what failed: that is a failure too.
		g.Verdicts = append(g.Verdicts, verdict{Name: "(runs to its end)", Outcome: fail, Detail: fmt.Sprintf("%v\n%s", ended, tail(said))})
	}
	return g, nil
}

// tail is the end of what a program said.
func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-detailLines):], "\n")
}
