package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// dockerd is a private Docker engine beside ours, for cases that compare both.
type dockerd struct {
	*target
	dir    string
	cmd    *exec.Cmd
	exited chan error
}

// readyIn is how long a Docker engine may take to answer.
const readyIn = time.Minute

// startDockerd starts one with directories and a socket of its own, without
// bridge and firewall.
func startDockerd(ctx context.Context, args ...string) (_ *dockerd, err error) {
	program, err := exec.LookPath("dockerd")
	if err != nil {
		return nil, fmt.Errorf("docker.io is compared with: %w", err)
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bd-")
	if err != nil {
		return nil, err
	}
	d := &dockerd{dir: dir, exited: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	host := "unix://" + filepath.Join(dir, "s")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Not with the context: an interrupted run stops it in order.
	d.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, append([]string{
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "-H", host,
		"--pidfile", filepath.Join(dir, "pid"), "--bridge=none", "--iptables=false", "--ip-forward=false", "--storage-driver=overlay2",
	}, args...)...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.exited <- d.cmd.Wait() }()
	if d.target, err = newTarget("docker", host, docker, "busybox"); err != nil {
		return nil, err
	}
	return d, d.ready(ctx)
}

func (d *dockerd) ready(ctx context.Context) error {
	deadline := time.Now().Add(readyIn)
	for time.Now().Before(deadline) {
		if d.command(ctx, d.cli, "version") == nil {
			return nil
		}
		select {
		case err := <-d.exited:
			d.exited <- err
			text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
			return fmt.Errorf("dockerd ended: %w\n%s", err, text[max(0, len(text)-2000):])
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("dockerd does not answer")
}

// close stops it and removes everything of it.
func (d *dockerd) close() error {
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-d.exited
	}
	return os.RemoveAll(d.dir)
}
