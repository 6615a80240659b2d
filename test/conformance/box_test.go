package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// patience bounds what no correct runtime comes near.
const patience = 30 * time.Second

// A box is a bundle, and the container that a runtime makes of it.
type box struct {
	t      *testing.T
	bundle string // config.json, rootfs/, and what the container prints
	root   string // the runtime's --root
	id     string
	spec   *specs.Spec
	// createFlags are given to create, before the container's ID.
	createFlags []string
	env         []string // added to the runtime's environment
	last        int      // process 1, once its pid was learnt
}

var boxes atomic.Int64

// newBox makes a bundle of the default configuration, changed by edits.
func newBox(t *testing.T, edits ...func(*specs.Spec)) *box {
	t.Helper()
	dir, err := os.MkdirTemp("", "oci") //nolint:usetesting // that one's parents are for root alone
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755)) // mapped users go through it
	b := &box{t: t, bundle: dir, root: filepath.Join(dir, "state"), id: fmt.Sprintf("conf-%d-%d", os.Getpid(), boxes.Add(1))}
	check(t, os.CopyFS(filepath.Join(dir, "rootfs"), os.DirFS(template)))
	b.spec = defaultSpec(groupOf() + "/" + b.id)
	for _, edit := range edits {
		edit(b.spec)
	}
	b.write()
	return b
}

// write puts the configuration into the bundle.
func (b *box) write() {
	b.t.Helper()
	data, err := json.MarshalIndent(b.spec, "", "\t")
	check(b.t, err)
	b.writeConfig(string(data))
}

func (b *box) writeConfig(text string) {
	b.t.Helper()
	check(b.t, os.WriteFile(filepath.Join(b.bundle, "config.json"), []byte(text), 0o644))
}

// do runs one operation of the runtime and returns what it printed. An error
// has the runtime's own words.
func (b *box) do(args ...string) (string, error) {
	var out bytes.Buffer
	err := b.runTo(&out, args...)
	return out.String(), err
}

func (b *box) runTo(out any, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, runtime, append([]string{"--root", b.root}, args...)...)
	cmd.Env = append(os.Environ(), b.env...)
	cmd.WaitDelay = time.Second // a container that should not be may hold the pipe
	// What the container inherits must be files: a pipe would keep us here.
	words, err := os.OpenFile(filepath.Join(b.bundle, "stderr."+args[0]), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	check(b.t, err)
	defer words.Close()
	cmd.Stderr = words
	switch out := out.(type) {
	case *bytes.Buffer:
		cmd.Stdout = out
	case *os.File:
		cmd.Stdout = out
	}
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(words.Name())
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(runtime), args[0], err, bytes.TrimSpace(text))
	}
	return nil
}

// create makes the container. It ends with the test.
func (b *box) create() error {
	b.t.Helper()
	out, err := os.OpenFile(filepath.Join(b.bundle, "stdout"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	check(b.t, err)
	defer out.Close()
	b.t.Cleanup(func() {
		_, _ = b.do("delete", "--force", b.id)
		if b.last > 0 {
			_, _ = reap(b.last)
		}
	})
	args := append([]string{"create", "--bundle", b.bundle}, b.createFlags...)
	if err := b.runTo(out, append(args, b.id)...); err != nil {
		return err
	}
	b.last = b.state().Pid
	return nil
}

func (b *box) mustCreate() {
	b.t.Helper()
	check(b.t, b.create())
}

func (b *box) start() error {
	_, err := b.do("start", b.id)
	return err
}

func (b *box) mustStart() {
	b.t.Helper()
	check(b.t, b.start())
}

// state asks for the container's state, with the types that the schema has.
func (b *box) state() specs.State {
	b.t.Helper()
	out, err := b.do("state", b.id)
	check(b.t, err)
	var s specs.State
	check(b.t, json.Unmarshal([]byte(out), &s))
	return s
}

// exists tells whether the runtime knows the container.
func (b *box) exists() bool {
	_, err := b.do("state", b.id)
	return err == nil
}

// wait returns the exit code of process 1 (128 and the signal if one ended it)
// once the runtime, too, calls the container stopped.
func (b *box) wait() int {
	b.t.Helper()
	code, err := reap(b.last)
	check(b.t, err)
	b.last = 0
	if s := b.state(); s.Status != specs.StateStopped {
		b.t.Fatalf("status after process 1 ended: %q", s.Status)
	}
	return code
}

// output is what the container printed so far.
func (b *box) output() string {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.bundle, "stdout"))
	check(b.t, err)
	return string(data)
}

// run takes the container from create to its end and returns what it printed.
func (b *box) run() string {
	b.t.Helper()
	b.mustCreate()
	b.mustStart()
	if code := b.wait(); code != 0 {
		b.t.Fatalf("process 1 ended with %d\n%s%s", code, b.output(), b.words("create"))
	}
	return b.output()
}

// words is what an operation, and what it started, wrote to standard error.
func (b *box) words(operation string) string {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.bundle, "stderr."+operation))
	check(b.t, err)
	return string(data)
}

// rootfs is a path in the container as the host sees it.
func (b *box) rootfs(path string) string { return filepath.Join(b.bundle, "rootfs", path) }

// read is the content of a file in /proc/PID of process 1.
func (b *box) proc(file string) string {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(b.last), file))
	check(b.t, err)
	return string(data)
}

// eventually polls until ok, or fails.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
	}
}

func reap(pid int) (int, error) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return 0, err
	}
	done := time.AfterFunc(patience, func() { _ = p.Kill() })
	defer done.Stop()
	s, err := p.Wait()
	if err != nil {
		return 0, fmt.Errorf("wait for process 1: %w", err)
	}
	if s.ExitCode() >= 0 {
		return s.ExitCode(), nil
	}
	text := s.String() // "signal: killed"
	return 128, fmt.Errorf("%s", strings.TrimSpace(text))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
