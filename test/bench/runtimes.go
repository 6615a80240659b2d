package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/test/engine"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// runtimeCases are what the OCI runtimes do in turns. Each is timed from the
// start of the program to its end.
var runtimeCases = []struct {
	name string
	args func(bundle, id, idle string) []string
}{
	{"OCI run true, one bundle", func(bundle, id, _ string) []string { return []string{"run", "-b", bundle, id} }},
	{"OCI exec true, one container", func(_, _, idle string) []string { return []string{"exec", idle, "/bin/true"} }},
}

// runRuntimes measures OCI runtimes on one bundle, one after the other, again
// and again. The first is ours.
func runRuntimes(ctx context.Context, o options) error {
	bin, err := engine.Bin()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs := map[string]string{}
	names := append([]string{"berth-runtime"}, strings.Split(o.runtimes, ",")...)
	for _, name := range names {
		path, err := exec.LookPath(name)
		if own := filepath.Join(bin, name); name == names[0] {
			path, err = own, nil
		}
		if err != nil {
			return err
		}
		programs[name] = path
	}
	report := newReport(o)
	for _, c := range runtimeCases {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		if err := runtimeCase(ctx, o, dir, c.name, c.args, names, programs, report); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	report.print(os.Stdout)
	if o.out != "" {
		return report.save(o.out)
	}
	return nil
}

func runtimeCase(ctx context.Context, o options, dir, name string, args func(bundle, id, idle string) []string, names []string, programs map[string]string, report *report) (err error) {
	command := func(program, root string, args ...string) error {
		cmd := exec.CommandContext(ctx, programs[program], append([]string{"--root", filepath.Join(dir, root)}, args...)...)
		var words strings.Builder
		cmd.Stderr = &words
		if args[0] == "run" && args[1] == "-d" {
			cmd.Stderr = nil // the container would hold the pipe
		}
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", program, args[0], err, words.String())
		}
		return nil
	}
	once, err := makeBundle(ctx, filepath.Join(dir, "once"), "/bin/true")
	if err != nil {
		return err
	}
	if strings.Contains(name, "exec") {
		idle, err := makeBundle(ctx, filepath.Join(dir, "idle"), "/bin/sleep", "100000")
		if err != nil {
			return err
		}
		for _, p := range names {
			if err := command(p, p, "run", "-d", "-b", idle, idleName(p)); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, command(p, p, "delete", "-f", idleName(p))) }()
		}
	}
	c := benchCase{name: name, unit: "ms"}
	for n := range o.n + 1 {
		for i := range names {
			p := names[(i+n+len(names)-1)%len(names)] // nobody always comes first
			ms, err := timed(func() error { return command(p, p, args(once, fmt.Sprintf("bench-%d", n), idleName(p))...) })
			if err != nil {
				return err
			}
			if n > 0 { // the first one warms the caches
				report.add(c, p, ms)
			}
		}
	}
	return nil
}

// idleName is the container that commands of a runtime run in: two builds of one
// runtime would give it the same group.
func idleName(runtime string) string { return "bench-exec-" + filepath.Base(runtime) }

// makeBundle makes a bundle with a static busybox that all runtimes accept: a
// default container of Docker's kind.
func makeBundle(ctx context.Context, dir string, args ...string) (string, error) {
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, "rootfs", d), 0o755); err != nil {
			return "", err
		}
	}
	const script = `cp -L "$(command -v busybox)" busybox && ln -s busybox true && ln -s busybox sleep`
	cmd := exec.CommandContext(ctx, "sh", "-ec", script)
	cmd.Dir = filepath.Join(dir, "rootfs/bin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("busybox: %w: %s", err, out)
	}
	bin, err := engine.Bin()
	if err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(bin, "berth-runtime"), "spec", "-b", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("spec: %w: %s", err, out)
	}
	file := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return "", err
	}
	spec.Version = "1.0.2" // older runtimes know no later one
	spec.Process.Args, spec.Process.Terminal = args, false
	if data, err = json.Marshal(&spec); err != nil {
		return "", err
	}
	return dir, os.WriteFile(file, data, 0o644)
}
