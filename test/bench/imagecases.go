package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/test/engine"
)

// took is what one operation took; cpu is of all processes that worked on it but
// the Hub's.
type took struct{ wall, cpu time.Duration }

// imageCase is an operation, by each who can do it.
type imageCase struct {
	name string
	by   []imageWay
}

type imageWay struct {
	name string
	run  func(ctx context.Context) (took, error)
}

func (b *images) cases() []imageCase {
	of := func(f func(ctx context.Context, t *target, pid int) (took, error)) []imageWay {
		return []imageWay{
			{b.own.name, func(ctx context.Context) (took, error) { return f(ctx, b.own.target, b.own.daemon.Pid()) }},
			{b.docker.name, func(ctx context.Context) (took, error) { return f(ctx, b.docker.target, b.docker.cmd.Process.Pid) }},
		}
	}
	floor := imageWay{"floor", b.floor}
	return []imageCase{
		{"pull and unpack (goal: 1.25 of the floor's time)", append(of(b.pull), imageWay{"skopeo", b.skopeoTo("docker://" + b.name)}, floor)},
		{"load (goal: 1.25 of the floor's time)", append(of(b.load), imageWay{"skopeo", b.skopeoTo("docker-archive:" + b.tar)}, floor)},
		{"save (goal: 3 times Docker's)", append(of(b.save), imageWay{"skopeo", b.skopeoFrom(false)})},
		{"push", append(of(b.push), imageWay{"skopeo", b.skopeoFrom(true)})},
	}
}

func (b *images) pull(ctx context.Context, t *target, pid int) (took, error) {
	if err := b.remove(ctx, t); err != nil {
		return took{}, err
	}
	return t.cost(ctx, pid, "pull", "-q", b.name)
}

func (b *images) load(ctx context.Context, t *target, pid int) (took, error) {
	if err := b.remove(ctx, t); err != nil {
		return took{}, err
	}
	return t.cost(ctx, pid, "load", "-q", "-i", b.tar)
}

func (b *images) save(ctx context.Context, t *target, pid int) (took, error) {
	if err := b.ensure(ctx, t); err != nil {
		return took{}, err
	}
	out := filepath.Join(b.dir, "saved.tar")
	c, err := t.cost(ctx, pid, "save", "-o", out, b.name)
	return c, errors.Join(err, os.Remove(out))
}

func (b *images) push(ctx context.Context, t *target, pid int) (took, error) {
	if err := b.ensure(ctx, t); err != nil {
		return took{}, err
	}
	hub, end, err := b.emptyHub()
	if err != nil {
		return took{}, err
	}
	name := hub.Addr + "/bench/image:1"
	if err := t.command(ctx, t.cli, "tag", b.name, name); err != nil {
		return took{}, errors.Join(err, end())
	}
	c, err := t.cost(ctx, pid, "push", "-q", name)
	return c, errors.Join(err, t.command(ctx, t.cli, "rmi", name), end())
}

// ensure has the engine have the image.
func (b *images) ensure(ctx context.Context, t *target) error {
	if t.command(ctx, t.cli, "image", "inspect", b.name) == nil {
		return nil
	}
	return t.command(ctx, t.cli, "load", "-q", "-i", b.tar)
}

func (b *images) remove(ctx context.Context, t *target) error {
	if t == b.own.target {
		return b.removeOwn(ctx)
	}
	if t.command(ctx, t.cli, "image", "inspect", b.name) != nil {
		return nil
	}
	return t.command(ctx, t.cli, "rmi", b.name)
}

// removeOwn waits until nothing of the image is left: that goes on after the
// answer.
func (b *images) removeOwn(ctx context.Context) error {
	if b.own.command(ctx, b.own.cli, "image", "inspect", b.name) != nil {
		return nil
	}
	if err := b.own.command(ctx, b.own.cli, "rmi", b.name); err != nil {
		return err
	}
	for deadline := time.Now().Add(readyIn); ; {
		used, err := diskUse(b.store())
		switch {
		case err != nil:
			return err
		case used < b.empty+b.mb/10:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%.0f MB of an image that is removed are still there", used-b.empty)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// store is where our engine keeps images.
func (b *images) store() string { return filepath.Join(b.own.daemon.DataRoot(), "image") }

// cost runs a client of the engine whose process has the pid.
func (t *target) cost(ctx context.Context, pid int, args ...string) (took, error) {
	before, err := treeTime(pid)
	if err != nil {
		return took{}, err
	}
	c, err := t.timedCommand(ctx, t.cli, args...)
	if err != nil {
		return c, err
	}
	after, err := treeTime(pid)
	c.cpu += after - before
	return c, err
}

// timedCommand is command with what the client took alone.
func (t *target) timedCommand(ctx context.Context, name string, args ...string) (took, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "BERTH_HOST="+t.host, "DOCKER_HOST="+t.host)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return took{}, fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return took{time.Since(begin), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// floor unpacks by the floor program.
func (b *images) floor(ctx context.Context) (took, error) {
	c, _, err := b.floorOf(ctx)
	return c, err
}

// floorOf is floor with what is known of the program when it has ended.
func (b *images) floorOf(ctx context.Context) (c took, state *os.ProcessState, err error) {
	bin, err := engine.Bin()
	if err != nil {
		return c, nil, err
	}
	into, err := os.MkdirTemp(b.dir, "floor-")
	if err != nil {
		return c, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(into)) }()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "floor"), "-unpack", b.layers, "-into", into)
	out, err := cmd.Output()
	if err != nil {
		return c, nil, fmt.Errorf("floor: %w", err)
	}
	var wall, cpu float64
	if _, err := fmt.Sscan(string(out), &wall, &cpu); err != nil {
		return c, nil, fmt.Errorf("floor says %q: %w", out, err)
	}
	ms := float64(time.Millisecond)
	return took{time.Duration(wall * ms), time.Duration(cpu * ms)}, cmd.ProcessState, nil
}

// storage is how skopeo knows a folder as Podman's store.
func storage(root string) string {
	return fmt.Sprintf("containers-storage:[overlay@%s/root+%s/run]bench/image:1", root, root)
}

// removeStorage removes a store, whose folder is a mount of itself.
func removeStorage(root string) error {
	err := unix.Unmount(filepath.Join(root, "root", "overlay"), unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // an older one leaves none
		err = nil
	}
	return errors.Join(err, os.RemoveAll(root))
}

func (b *images) skopeo(ctx context.Context, from, to string) (took, error) {
	return b.own.timedCommand(ctx, "skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", from, to)
}

// skopeoTo copies into an empty store.
func (b *images) skopeoTo(from string) func(context.Context) (took, error) {
	return func(ctx context.Context) (c took, err error) {
		root, err := os.MkdirTemp(b.dir, "store-")
		if err != nil {
			return c, err
		}
		defer func() { err = errors.Join(err, removeStorage(root)) }()
		return b.skopeo(ctx, from, storage(root))
	}
}

// skopeoFrom copies from a store, to an empty registry or a file.
func (b *images) skopeoFrom(registry bool) func(context.Context) (took, error) {
	return func(ctx context.Context) (c took, err error) {
		root := filepath.Join(b.dir, "store")
		if _, err := os.Stat(root); err != nil {
			if _, err := b.skopeo(ctx, "docker-archive:"+b.tar, storage(root)); err != nil {
				return c, err
			}
		}
		to := filepath.Join(b.dir, "saved.tar")
		if !registry {
			c, err := b.skopeo(ctx, storage(root), "docker-archive:"+to)
			return c, errors.Join(err, os.Remove(to))
		}
		hub, end, err := b.emptyHub()
		if err != nil {
			return c, err
		}
		c, err = b.skopeo(ctx, storage(root), "docker://"+hub.Addr+"/bench/image:1")
		return c, errors.Join(err, end())
	}
}
