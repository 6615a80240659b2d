// Package attack tries to break out of real containers of a real engine. Every
// test is named TestAttack…; one that stands for a defence which can be built
// out is in test/defences.txt.
package attack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/leak"
)

var (
	hub      *engine.Hub
	daemon   *engine.Daemon
	attacker string // testdata/attacker, static
	small    string // the same for 32 bits; empty on machines without
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run starts one engine for all tests, since an enemy is not alone on it
// either, and looks at the end whether anything is left of them.
func run(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("test/e2e/attack starts real containers: run it as root (make attack)")
	}
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "ba-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := build(ctx, dir); err != nil {
		return 1, err
	}
	if hub, err = engine.StartHub(dir, ""); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, hub.Stop()) }()
	before, err := leak.Read(ctx, nil, nil)
	if err != nil {
		return 1, err
	}
	daemon = engine.NewDaemon(dir, "--registry-mirror", "http://"+hub.Addr)
	if err := daemon.Start(ctx); err != nil {
		return 1, err
	}
	code, err = 1, push(ctx, "attacker", "--busybox", "--file", attacker+"=/attacker")
	if err == nil {
		code = m.Run()
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "berthd's log:\n%s\n", complaints(daemon.Log()))
	}
	if out, lerr := berth(ctx, "ps", "-aq"); lerr != nil || out != "" {
		err = errors.Join(err, fmt.Errorf("containers are left: %s%w", out, errors.Join(lerr, errors.New("remove them"))))
		_, rerr := berth(ctx, append([]string{"rm", "-f"}, strings.Fields(out)...)...)
		err = errors.Join(err, rerr)
	}
	if err := errors.Join(err, daemon.Stop()); err != nil {
		return 1, err
	}
	return code, left(ctx, before)
}

// complaints are the lines of a log that are not about every request.
func complaints(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "level=DEBUG") && !strings.Contains(line, "request failed") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func build(ctx context.Context, dir string) error {
	attacker, small = filepath.Join(dir, "attacker"), filepath.Join(dir, "attacker32")
	for path, arch := range map[string]string{attacker: "", small: "386"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", path, "./testdata/attacker")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if arch != "" {
			cmd.Env = append(cmd.Env, "GOARCH="+arch)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build attacker: %w\n%s", err, out)
		}
	}
	return nil
}

// push makes an image of that name with mkimage's flags, and pulls it.
func push(ctx context.Context, name string, flags ...string) error {
	bin, err := engine.Bin()
	if err != nil {
		return err
	}
	args := append(flags, "http://"+hub.Addr+"/library/"+name+":latest")
	if out, err := exec.CommandContext(ctx, filepath.Join(bin, "mkimage"), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mkimage %q: %w\n%s", args, err, out)
	}
	if out, err := berth(ctx, "pull", name); err != nil {
		return fmt.Errorf("pull %s: %w\n%s", name, err, out)
	}
	return nil
}

// image makes an image of busybox, the attacker and what the flags say.
func image(t *testing.T, name string, flags ...string) {
	t.Helper()
	if err := push(t.Context(), name, append([]string{"--busybox", "--file", attacker + "=/attacker"}, flags...)...); err != nil {
		t.Fatal(err)
	}
}

// berth runs the command line client and returns what it wrote.
func berth(ctx context.Context, args ...string) (string, error) {
	bin, err := engine.Bin()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "berth"), args...)
	cmd.Env = append(os.Environ(), daemon.Environ()...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is berth for what has to work.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := berth(t.Context(), args...)
	if err != nil {
		t.Fatalf("berth %q: %v\n%s", args, err, out)
	}
	return out
}

// background starts a container that is removed at the end, and waits until it
// has said that it is ready.
func background(t *testing.T, args ...string) (id string) {
	t.Helper()
	id = strings.TrimSpace(must(t, append([]string{"run", "-d"}, args...)...))
	t.Cleanup(func() {
		if out, err := berth(context.Background(), "rm", "-f", id); err != nil {
			t.Errorf("remove: %v\n%s", err, out)
		}
	})
	eventually(t, "the attacker to begin", func() bool {
		return strings.Contains(must(t, "logs", id), "ready")
	})
	return id
}
