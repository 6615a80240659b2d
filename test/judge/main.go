// Command judge has outside test suites judge OCI runtimes: the validation
// programs of the Open Containers Initiative's runtime-tools, and runc's own
// integration cases. It keeps what they said in docs/conformance, one file for
// a suite and a runtime, and renders docs/conformance.md from those files alone.
//
// It promises that every program runs by itself in namespaces and groups of its
// own, that a program which ends without saying why counts as failed, and that
// nothing of the suites is in this repository: test/judge/fetch lays them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A target is a runtime to judge.
type target struct{ name, path string }

// version is the first line that the runtime's --version prints.
func (t target) version(ctx context.Context) string {
	path, err := filepath.EvalSymlinks(t.path) // under its own name
	if err != nil {
		return ""
	}
	out, _ := exec.CommandContext(ctx, path, "--version").Output()
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

// host describes the machine in one line.
func host() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "Linux"
	}
	groups := "v1"
	var fs unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		groups = "v2"
	}
	return fmt.Sprintf("Linux %s, cgroup %s", unix.ByteSliceToString(u.Release[:]), groups)
}

func main() {
	var targets []target
	dir := flag.String("dir", ".cache/judge", "where test/judge/fetch laid the suites")
	out := flag.String("out", "docs/conformance", "where reports are kept")
	suite := flag.String("suite", "", "run only this suite")
	render := flag.Bool("render", false, "print docs/conformance.md instead")
	flag.Func("runtime", "NAME=PATH of a runtime to judge; may be repeated", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok {
			name, path = s, s
		}
		path, err := exec.LookPath(path)
		if err != nil {
			return err
		}
		path, err = filepath.Abs(path)
		targets = append(targets, target{name, path})
		return err
	})
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: judge [flags] [PART-OF-A-PROGRAM'S-NAME…]")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	var err error
	if *render {
		err = renderFolder(os.Stdout, *out)
	} else {
		err = judgeAll(ctx, judges(*dir), targets, *suite, *out, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func judgeAll(ctx context.Context, all []judge, targets []target, suite, out string, only []string) error {
	for _, j := range all {
		if suite != "" && suite != j.name {
			continue
		}
		for _, t := range targets {
			r, err := j.run(ctx, t, only, out)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stdout, "%s, %s: %d pass, %d fail, %d skip\n", j.name, t.name, r.count(pass), r.count(fail), r.count(skip))
		}
	}
	return nil
}
