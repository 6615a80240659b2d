package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// peer is a private engine of another make beside ours, with directories and a
// socket of its own, for cases that compare both.
type peer struct {
	*target
	dir    string
	cmd    *exec.Cmd
	exited chan error
	undo   []func() error // what was made for it on the host

	counted *meter // target's, from before there is one
}

// readyIn is how long another engine may take to answer.
const readyIn = time.Minute

// startDockerd starts a Docker engine without firewall; without args it has no
// bridge, either.
func startDockerd(ctx context.Context, args ...string) (*peer, error) {
	return startPeer(ctx, "docker", func(dir, host string) ([]string, []func() error, error) {
		if len(args) == 0 {
			args = []string{"--bridge=none"}
		}
		return append([]string{
			"dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "-H", host,
			"--pidfile", filepath.Join(dir, "pid"), "--iptables=false", "--ip-forward=false", "--storage-driver=overlay2",
		}, args...), nil, nil
	})
}

// startBridged starts a Docker engine with a bridge of its own.
func startBridged(ctx context.Context) (*peer, error) {
	bridge := fmt.Sprintf("bd%d", os.Getpid()%1000000)
	undo := func() error { return run1("ip", "link", "del", bridge) }
	for _, args := range [][]string{
		{"link", "add", bridge, "type", "bridge"},
		{"addr", "add", "10.213.0.1/16", "dev", bridge},
		{"link", "set", bridge, "up"},
	} {
		if err := run1("ip", args...); err != nil {
			return nil, errors.Join(err, undo())
		}
	}
	p, err := startDockerd(ctx, "--bridge="+bridge, "--userland-proxy=false")
	if err != nil {
		return nil, errors.Join(err, undo())
	}
	p.undo = append(p.undo, undo)
	return p, nil
}

// podmanNetwork is Podman's default network without a firewall, which would leave
// rules on the host.
const podmanNetwork = `{"cniVersion": "0.4.0", "name": "podman", "plugins": [{
	"type": "bridge", "bridge": %q, "isGateway": true,
	"ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.214.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}
}]}`

// podmanLimits are those of Podman's containers: its own are above what it may set
// where the host gives no CAP_SYS_RESOURCE, and no container starts.
const podmanLimits = `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
`

// startPodman starts Podman's service, with a bridge of its own.
func startPodman(ctx context.Context) (*peer, error) {
	return startPeer(ctx, "podman", func(dir, host string) ([]string, []func() error, error) {
		bridge := fmt.Sprintf("bp%d", os.Getpid()%1000000)
		network := fmt.Sprintf(podmanNetwork, bridge, filepath.Join(dir, "leases"))
		if err := os.Mkdir(filepath.Join(dir, "net"), 0o755); err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, "net", "87-podman.conflist"), []byte(network), 0o644); err != nil {
			return nil, nil, err
		}
		conf := filepath.Join(dir, "containers.conf")
		if err := os.WriteFile(conf, []byte(podmanLimits), 0o600); err != nil {
			return nil, nil, err
		}
		own := []string{
			"env", "CONTAINERS_CONF=" + conf, "podman", "--root", filepath.Join(dir, "data"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp"),
			"--network-config-dir", filepath.Join(dir, "net"), "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
		}
		reset := func() error { // containers' monitors and mounts live on without it
			err := errors.Join(run1(own[0], append(own[1:], "rm", "-af", "-t", "0")...), run1(own[0], append(own[1:], "system", "reset", "-f")...),
				killNamed("conmon", dir)) // that of a further process waits five minutes more for who asks of its end
			if _, e := net.InterfaceByName(bridge); e == nil { // its first container makes it
				err = errors.Join(err, run1("ip", "link", "del", bridge))
			}
			return err
		}
		return append(own, "system", "service", "-t", "0", host), []func() error{reset}, nil
	})
}

// run1 runs a program of the host.
func run1(name string, args ...string) error {
	if out, err := exec.CommandContext(context.Background(), name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return nil
}

// startPeer starts what command says in a directory of its own.
func startPeer(ctx context.Context, name string, command func(dir, host string) (argv []string, undo []func() error, err error)) (_ *peer, err error) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bd-")
	if err != nil {
		return nil, err
	}
	d := &peer{dir: dir, exited: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.counted, err = newMeter(); err != nil {
		return nil, err
	}
	host := "unix://" + filepath.Join(dir, "s")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	left, err := leavings("docker", "libpod_parent")
	if err != nil {
		return nil, err
	}
	argv, undo, err := command(dir, host)
	if err != nil {
		return nil, err
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, fmt.Errorf("%s is compared with: %w", name, err)
	}
	argv = d.counted.enter(append([]string{program}, argv[1:]...))
	// Not with the context: an interrupted run stops it in order.
	d.cmd = exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	d.undo = append(undo, left)
	go func() { d.exited <- d.cmd.Wait() }()
	if d.target, err = newTarget(name, host, docker, "busybox"); err != nil {
		return nil, err
	}
	d.meter = d.counted
	return d, d.ready(ctx)
}

func (d *peer) ready(ctx context.Context) error {
	deadline := time.Now().Add(readyIn)
	for time.Now().Before(deadline) {
		if d.command(ctx, d.cli, "version") == nil {
			return nil
		}
		select {
		case err := <-d.exited:
			d.exited <- err
			text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
			return fmt.Errorf("%s ended: %w\n%s", d.name, err, text[max(0, len(text)-2000):])
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer", d.name)
}

// close stops it and removes everything of it.
func (d *peer) close() error {
	var errs []error
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-d.exited
	}
	for _, f := range d.undo {
		errs = append(errs, f())
	}
	if d.counted != nil {
		errs = append(errs, d.counted.close())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}
