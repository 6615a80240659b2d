// Command mutants proves that the tests of defences test them: it builds each
// defence out in turn (-tags nodefence_TAG) and wants exactly the tests that
// test/defences.txt names to fail. Run it as root in the repository's root:
//
//	mutants [TAG…]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bad, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
	if bad > 0 {
		fmt.Fprintf(os.Stderr, "mutants: %d not as they should be\n", bad)
		os.Exit(1)
	}
}

func run(ctx context.Context, only []string) (bad int, err error) {
	all, err := readList(".")
	if err != nil {
		return 0, err
	}
	pkgs := packages(all)
	row := func(name string, began time.Time, fails []string, verdict string) {
		fmt.Fprintf(os.Stdout, "%-14s %5.1fs  %-6s %s\n", name, time.Since(began).Seconds(), verdict, strings.Join(fails, ", "))
	}
	began := time.Now()
	fails, log, err := failing(ctx, "", pkgs, "^TestAttack", nil)
	if err != nil {
		return 0, err
	}
	if len(fails) > 0 {
		row("(none)", began, fails, "WRONG")
		return 1, errors.New("with all defences in place tests fail\n" + log)
	}
	row("(none)", began, nil, "passes")
	for i := range all {
		d := &all[i]
		if len(only) > 0 && !slices.Contains(only, d.tag) {
			continue
		}
		began := time.Now()
		fails, log, err := d.try(ctx, pkgs)
		if err != nil {
			return bad, fmt.Errorf("%s: %w", d.tag, err)
		}
		if slices.Equal(fails, d.tests) {
			row(d.tag, began, fails, "fails")
			continue
		}
		row(d.tag, began, fails, "WRONG")
		fmt.Fprintf(os.Stdout, "%s should fail: %s\n%s", d.tag, strings.Join(d.tests, ", "), log)
		bad++
	}
	return bad, nil
}

// try runs the tests without the defence and returns those that fail.
func (d *defence) try(ctx context.Context, pkgs []string) (fails []string, log string, err error) {
	tag := "nodefence_" + d.tag
	fails, log, err = failing(ctx, tag, d.concerned(pkgs), "^TestAttack", nil)
	mine := d.in(true)
	if err != nil || len(mine) == 0 {
		return fails, log, err
	}
	dir, err := programs(ctx, tag)
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(dir)
	var names []string
	for _, t := range mine {
		names = append(names, strings.TrimPrefix(t, stories+" "))
	}
	more, moreLog, err := failing(ctx, tag, []string{"./" + stories}, "^("+strings.Join(names, "|")+")$", []string{"BERTH_BIN=" + dir})
	fails = append(fails, more...)
	slices.Sort(fails)
	return fails, log + moreLog, err
}

// programs builds those that a defence can be in; the others are what make
// build made.
func programs(ctx context.Context, tag string) (string, error) {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return dir, err
	}
	for _, name := range []string{"berth", "berth-hub", "mkimage"} {
		if err := os.Symlink(filepath.Join(bin, name), filepath.Join(dir, name)); err != nil {
			return dir, err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tag, "-ldflags=-s -w", "-o", dir+"/", "./cmd/berthd", "./cmd/berth-sandbox", "./cmd/berth-netd")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
}

// failing runs tests and returns those that fail or do not end, as "PACKAGE
// TestNAME", and what they said. A tag goes into GOFLAGS, since tests build
// programs, too.
func failing(ctx context.Context, tag string, pkgs []string, pattern string, env []string) (fails []string, log string, err error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-p", "1", "-timeout", "3m", "-run", pattern}, pkgs...)...)
	cmd.Env = append(os.Environ(), env...)
	if tag != "" {
		cmd.Env = append(cmd.Env, "GOFLAGS="+os.Getenv("GOFLAGS")+" -tags="+tag)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, runErr := cmd.Output()
	var text strings.Builder
	running := map[string]bool{}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var e struct{ Action, Package, Test, Output string }
		if err := dec.Decode(&e); err != nil {
			return nil, "", fmt.Errorf("go test: %w\n%s%s", err, out, stderr.String())
		}
		text.WriteString(e.Output)
		if e.Test == "" || strings.Contains(e.Test, "/") {
			continue
		}
		_, pkg, _ := strings.Cut(e.Package, "/berth/")
		name := pkg + " " + e.Test
		switch e.Action {
		case "run":
			running[name] = true
		case "fail":
			fails = append(fails, name)
			delete(running, name)
		case "pass", "skip":
			delete(running, name)
		}
	}
	fails = slices.AppendSeq(fails, maps.Keys(running))
	slices.Sort(fails)
	if runErr != nil && len(fails) == 0 {
		return nil, "", fmt.Errorf("go test: %w\n%s%s", runErr, text.String(), stderr.String())
	}
	return fails, text.String(), nil
}
