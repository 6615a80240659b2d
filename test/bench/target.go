package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/moby/moby/client"
	profile "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/sandbox/seccomp"
	"github.com/berth-engine/berth/test/engine"
)

// target is an engine under measurement.
type target struct {
	name, host, cli, image string
	client                 *client.Client
	meter                  *meter // nil: nobody counts its processor time
}

func newTarget(name, host, cli, image string) (*target, error) {
	c, err := client.New(client.WithHost(host))
	if err != nil {
		return nil, err
	}
	return &target{name: name, host: host, cli: cli, image: image, client: c}, nil
}

// newPeer makes a target of "name=unix:///socket"; its command line client is
// the stock docker.
func newPeer(spec, image string) (*target, error) {
	name, host, ok := strings.Cut(spec, "=")
	if !ok {
		return nil, fmt.Errorf("peer %q: want name=unix:///socket", spec)
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		return nil, err
	}
	return newTarget(name, host, docker, image)
}

// own is the engine that bench starts for itself: a Hub, a daemon, an image.
type own struct {
	*target
	dir    string
	hub    *engine.Hub
	daemon *engine.Daemon
	rootfs string // for the floor

	counted *meter // target's, from before there is one
}

// start starts the daemon, and counts its processor time from then on.
func (o *own) start(ctx context.Context) error {
	if err := o.daemon.Start(ctx); err != nil {
		return err
	}
	return o.counted.add(o.daemon.Pid())
}

func startOwn(ctx context.Context, args ...string) (*own, error) {
	return startOwnOf(ctx, "", args...)
}

// startOwnOf is startOwn with the engine and the client of a folder; "":
// engine.Bin.
func startOwnOf(ctx context.Context, bin string, args ...string) (*own, error) {
	return startOwnWith(ctx, bin, nil, args...)
}

// startOwnWith is startOwnOf with more in the daemon's environment (NAME=value).
func startOwnWith(ctx context.Context, bin string, env []string, args ...string) (_ *own, err error) {
	if bin == "" {
		if bin, err = engine.Bin(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "bb-")
	if err != nil {
		return nil, err
	}
	o := &own{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	if o.counted, err = newMeter(); err != nil {
		return nil, err
	}
	if o.hub, err = engine.StartHub(dir, ""); err != nil {
		return nil, err
	}
	if err := engine.PushBusybox(ctx, o.hub); err != nil {
		return nil, err
	}
	o.daemon = engine.NewDaemon(dir, append([]string{"--registry-mirror", "http://" + o.hub.Addr, "--debug=false", "--cgroup-parent", o.counted.group}, args...)...)
	o.daemon.Bin = bin
	o.daemon.Setenv(env...)
	if err := o.start(ctx); err != nil {
		return nil, err
	}
	o.target, err = newTarget("berth", o.daemon.Host(), filepath.Join(bin, "berth"), "busybox")
	if err != nil {
		return nil, err
	}
	o.meter = o.counted
	if err := o.command(ctx, o.cli, "pull", "-q", "busybox"); err != nil {
		return nil, err
	}
	return o, o.makeRootfs()
}

// makeRootfs lays the floor's root file system, busybox alone, as `true`, and beside
// it the filter for Docker's profile, as the engine loads it. What the kernel takes
// to load one depends on its length and on how many instructions the number of each
// system call passes (it tries them all, to remember what is always allowed):
// another program would be another floor.
func (o *own) makeRootfs() error {
	o.rootfs = filepath.Join(o.dir, "floor")
	if err := os.MkdirAll(filepath.Join(o.rootfs, "lower", "bin"), 0o755); err != nil {
		return err
	}
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("the floor runs Debian's busybox-static: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.rootfs, "lower", "bin", "true"), data, 0o755); err != nil {
		return err
	}
	p, err := profile.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}, Linux: &specs.Linux{},
	})
	if err != nil {
		return err
	}
	filter, err := seccomp.Compile(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.rootfs, "filter"), filter, 0o600)
}

func (o *own) close() error {
	var errs []error
	if o.daemon != nil && o.daemon.Started() {
		errs = append(errs, o.daemon.Stop())
	}
	if o.hub != nil {
		errs = append(errs, o.hub.Stop())
	}
	if o.counted != nil {
		errs = append(errs, o.counted.close())
	}
	return errors.Join(append(errs, os.RemoveAll(o.dir))...)
}
