package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/timerslack"
	"github.com/berth-engine/berth/network/netd"
)

// quits is how long netd may take to end after it was told to.
const quits = 10 * time.Second

// retry is how long to wait after netd could not be started.
const retry = time.Second

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retry):
	}
}

// outdated tells whether the program of process pid is another file than the
// one that would be started now.
func (k *Keeper) outdated(pid int) bool {
	runs, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return false // it is about to end, or not ours to judge
	}
	installed, err := os.Stat(k.o.Binary)
	return err == nil && !os.SameFile(runs, installed)
}

// start starts netd and connects to it; if another one listens, the new one
// takes its sockets over. It is a session and a control group of its own, so
// that nothing that is meant for the engine reaches it.
func (k *Keeper) start(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	// It is to outlive us.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), k.o.Binary, "-socket", k.o.Socket, "-ready-fd", "3")
	cmd.Args[0] = filepath.Base(k.o.Binary)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{w}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = timerslack.Fork(cmd.Start)
	w.Close()
	if err != nil {
		return fmt.Errorf("start berth-netd: %w", err)
	}
	defer context.AfterFunc(ctx, func() { r.Close() })()
	said, err := io.ReadAll(r)
	if string(said) != "ready" || ctx.Err() != nil {
		killed := cmd.Process.Kill()
		_ = cmd.Wait() // killed
		return fmt.Errorf("start berth-netd: %q: %w", said, errors.Join(err, ctx.Err(), ignoreDone(killed), os.ErrInvalid))
	}
	k.reap()
	k.started = cmd
	if err := k.move(cmd.Process.Pid); err != nil {
		k.o.Log.Warn("berth-netd stays in the engine's control group", "error", err)
	}
	if k.client, err = netd.Dial(ctx, k.o.Socket); err != nil {
		return fmt.Errorf("connect to berth-netd: %w", err)
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (k *Keeper) parent() string {
	if k.o.CgroupParent == "" {
		return "/berth"
	}
	return k.o.CgroupParent
}

func (k *Keeper) move(pid int) error {
	g, err := cgroup.Load(k.parent(), k.o.CgroupID)
	if err != nil {
		if g, err = cgroup.Lone(k.parent(), k.o.CgroupID); err != nil {
			return err
		}
	}
	for _, dir := range g.JoinDirs() {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
	}
	return err
}

// reap collects a netd that we started and that has ended, or is about to.
func (k *Keeper) reap() {
	if k.started != nil {
		_ = k.started.Wait() // how it ended is in its own words in the log
		k.started = nil
	}
}

// awaitEnd collects the netd that was told to quit, and removes its group.
func (k *Keeper) awaitEnd(process *os.File) {
	if err := ns.PidfdWait(process, quits); err != nil {
		k.o.Log.Warn("berth-netd does not end", "error", err)
		return
	}
	if k.started != nil && k.started.Process.Pid == k.client.Pid() {
		k.reap()
	}
	g, err := cgroup.Load(k.parent(), k.o.CgroupID)
	if err == nil {
		err = errors.Join(g.Destroy(), cgroup.Prune(k.parent()))
	}
	if err != nil {
		k.o.Log.Debug("control group of berth-netd", "error", err)
	}
}
