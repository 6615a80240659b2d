package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	nettypes "github.com/moby/moby/api/types/network"
	moby "github.com/moby/moby/client"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/test/engine"
)

// request is one request to make a container.
type request struct {
	moby.ContainerCreateOptions
	w *world
}

// world is what all probes share: an engine and a folder of the host.
type world struct {
	d   *engine.Daemon
	c   *moby.Client
	dir string
	// device and device2 are nodes of block devices of the host, for limits of
	// their use.
	device, device2 string
	records         string // where the runtime "recorded" writes
}

// probe says what a field of a request does and how that shows. A container is
// made without and with the field, and what is seen must differ.
type probe struct {
	field string // Type.Field
	does  string // for docs/containers.md
	base  func(*request)
	set   func(*request)
	// run is a program of the shell in the container, whose output is what is
	// seen. Without one, look says what is seen of a container that sleeps.
	run  string
	look func(context.Context, *world, string) (string, error)
	// typed, instead of a request: lines for a shell without and with the field,
	// which the client fills in.
	typed [2]string
	want  string // part of what is seen with the field set
	// or matches what is said where this host's kernel cannot do it: the error,
	// or a warning of create.
	or string
	// refused is a part of the error that is always given.
	refused string
}

// probes of all topics.
func probes() []probe {
	return slices.Concat(configProbes, hostProbes, namespaceProbes, limitProbes, mountProbes, networkProbes, deviceProbes, refusedProbes)
}

// TestFields: no field of a request is ignored. Each is seen to do something in
// a real container, or is refused by an error that is listed here.
func TestFields(t *testing.T) {
	all := requestFields()
	known := map[string]bool{}
	for _, p := range probes() {
		known[p.field] = true
		if !slices.Contains(all, p.field) {
			t.Errorf("%s is not a field of a request", p.field)
		}
	}
	for _, f := range all {
		if _, ok := answers[f]; ok == known[f] {
			t.Errorf("field %s has no probe and no refusal, or is in both lists: a request that sets it would be ignored", f)
		}
	}
	if t.Failed() {
		return
	}
	devices := t.TempDir()
	if err := os.WriteFile(filepath.Join(devices, "probe.json"), []byte(cdiSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(devices, "gpu.json"), []byte(gpuSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	records := t.TempDir()
	d := newDaemon(t, "--cdi-spec-dir", devices, "--add-runtime", "recorded="+writeRuntime(t, records))
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{d: d, c: stock(t, d), dir: t.TempDir(), device: blockDevice(t), device2: blockDevice(t), records: records}
	if err := os.Chmod(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "pull", "busybox")
	must(t, d, "berth", "run", "-d", "--name", "other", "-v", "/from-other", "-v", "ours:/named", "--ipc", "shareable", "--hostname", "otherhost",
		"-e", "PROBE=link", "--expose", "99", "busybox", "sh", "-c", "echo shared > /dev/shm/word; exec sleep 100000")
	w.prepare(t)
	t.Run("fields", func(t *testing.T) {
		gate := make(chan struct{}, 3)
		for _, p := range probes() {
			t.Run(p.field, func(t *testing.T) {
				t.Parallel()
				gate <- struct{}{}
				defer func() { <-gate }()
				w.probe(t, &p)
			})
		}
	})
	w.tidy(t)
	must(t, d, "berth", "rm", "-fv", "other")
	must(t, d, "berth", "volume", "rm", "ours")
	// A group that somebody asked for stays, as with Docker.
	for _, pattern := range []string{"/sys/fs/cgroup/*/berth/probed", "/sys/fs/cgroup/berth/probed"} {
		made, err := filepath.Glob(pattern)
		for _, dir := range made {
			err = errors.Join(err, os.Remove(dir))
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// requestFields are the fields of all types that a request consists of.
func requestFields() []string {
	var names []string
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(t.Elem())
		case reflect.Map:
			walk(t.Key())
			walk(t.Elem())
		case reflect.Struct:
			if seen[t] || !strings.Contains(t.PkgPath(), "moby") && !strings.Contains(t.PkgPath(), "docker") || t.Name() == "Port" {
				return
			}
			seen[t] = true
			for f := range t.Fields() {
				if !f.Anonymous && f.IsExported() {
					names = append(names, t.Name()+"."+f.Name)
				}
				walk(f.Type)
			}
		default:
		}
	}
	walk(reflect.TypeFor[container.CreateRequest]())
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "CreateRequest.") })
}

// probe runs one.
func (w *world) probe(t *testing.T, p *probe) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if p.typed[0] != "" {
		without, with, err := w.typed(p)
		if err != nil || with == without || !strings.Contains(with, p.want) {
			t.Errorf("without it %q, with it %q, which is to have %q: %v", without, with, p.want, err)
		}
		return
	}
	without, _, err := w.see(ctx, p, p.base)
	if err != nil {
		t.Fatalf("without it: %v", err)
	}
	with, warnings, err := w.see(ctx, p, p.base, p.set)
	if p.refused != "" {
		if err == nil || !strings.Contains(err.Error(), p.refused) {
			t.Errorf("the error is to say %q: %v", p.refused, err)
		}
		return
	}
	if p.or != "" {
		text := strings.Join(warnings, "\n")
		if err != nil {
			text = err.Error()
		}
		if regexp.MustCompile(p.or).MatchString(text) {
			t.Logf("not here: %s", text)
			return
		}
	}
	switch {
	case err != nil:
		t.Errorf("with it: %v", err)
	case with == without:
		t.Errorf("it makes no difference: %q", with)
	case !strings.Contains(with, p.want):
		t.Errorf("%q is not in %q", p.want, with)
	}
}

// see makes a container and returns what is to be seen of it.
func (w *world) see(ctx context.Context, p *probe, changes ...func(*request)) (seen string, warnings []string, err error) {
	r := &request{w: w}
	program := cmp.Or(p.run, "true")
	if p.look != nil {
		program = "exec sleep 1000"
	}
	r.Config = &container.Config{Image: "busybox", Cmd: []string{"sh", "-c", program}}
	r.HostConfig, r.NetworkingConfig = &container.HostConfig{}, &nettypes.NetworkingConfig{}
	for _, change := range changes {
		if change != nil {
			change(r)
		}
	}
	made, err := w.c.ContainerCreate(ctx, r.ContainerCreateOptions)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		_, gone := w.c.ContainerRemove(context.WithoutCancel(ctx), made.ID, moby.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if gone != nil && err == nil && !r.HostConfig.AutoRemove {
			err = gone
		}
	}()
	if _, err := w.c.ContainerStart(ctx, made.ID, moby.ContainerStartOptions{}); err != nil {
		return "", made.Warnings, err
	}
	if p.look != nil {
		seen, err = p.look(ctx, w, made.ID)
		return seen, made.Warnings, err
	}
	seen, err = w.output(ctx, made.ID, r.Config.Tty)
	return strings.ReplaceAll(seen, made.ID[:12], "ID"), made.Warnings, err
}

// output is all that a container, with or without a terminal, wrote when it has
// ended.
func (w *world) output(ctx context.Context, id string, tty bool) (string, error) {
	wait := w.c.ContainerWait(ctx, id, moby.ContainerWaitOptions{})
	select {
	case <-wait.Result:
	case err := <-wait.Error:
		return "", err
	}
	logs, err := w.c.ContainerLogs(ctx, id, moby.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return "", err
	}
	defer logs.Close()
	var out bytes.Buffer
	if tty {
		_, err = out.ReadFrom(logs)
	} else {
		_, err = stdcopy.StdCopy(&out, &out, logs)
	}
	return out.String(), err
}

// inspected sees a part of what inspect says: for what is kept for readers
// alone, where the kernel has nothing to show.
func inspected(part func(*container.InspectResponse) any) func(context.Context, *world, string) (string, error) {
	return func(ctx context.Context, w *world, id string) (string, error) {
		r, err := w.c.ContainerInspect(ctx, id, moby.ContainerInspectOptions{})
		if err != nil {
			return "", err
		}
		return fmt.Sprint(part(&r.Container)), nil
	}
}

// in is what a program prints in the running container.
func in(cmd string) func(context.Context, *world, string) (string, error) {
	return func(ctx context.Context, w *world, id string) (string, error) {
		out, _, err := execIn(ctx, w.c, id, "sh", "-c", cmd)
		return out, err
	}
}

// group reads a file of the container's control group: v1's or v2's.
func group(controller, v1, v2 string) string {
	return fmt.Sprintf("cat /sys/fs/cgroup/%s/%s 2>/dev/null || cat /sys/fs/cgroup/%s", controller, v1, v2)
}

// blockDevice is the node of a block device of the test's own, whose scheduler
// is bfq where the kernel has it: the weight of a device counts only there.
func blockDevice(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "losetup", "--detach", loop).CombinedOutput(); err != nil {
			t.Errorf("losetup: %v: %s", err, out)
		}
	})
	useBFQ(t, filepath.Join("/sys/block", filepath.Base(loop), "queue/scheduler"))
	var st syscall.Stat_t
	if err := syscall.Stat(loop, &st); err != nil {
		t.Fatal(err)
	}
	return makeNode(t, filepath.Join(t.TempDir(), "disk"), int(unix.Major(st.Rdev)), int(unix.Minor(st.Rdev)))
}

// useBFQ has a device scheduled by bfq until the test ends. The file lists the
// schedulers, the current one in brackets.
func useBFQ(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "[")
	before, _, _ := strings.Cut(rest, "]")
	if before == "bfq" || !strings.Contains(string(text), "bfq") {
		return
	}
	if err := os.WriteFile(file, []byte("bfq"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, []byte(before), 0); err != nil {
			t.Error(err)
		}
	})
}

func with(m mount.Mount) func(*request) {
	return func(r *request) { r.HostConfig.Mounts = append(r.HostConfig.Mounts, m) }
}
