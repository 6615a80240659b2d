package monitor

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lastOutput is how long a terminal's output may take to end after the
// container has. It ends at once unless somebody outside has the terminal open.
const lastOutput = 500 * time.Millisecond

// reap waits for the end of process 1, brings the container to its end and
// makes it known.
func (c *container) reap(pidfd *os.File) {
	_ = Ended(pidfd) // what is wrong, Reap says
	c.gate.enter()   // and does not leave
	status, err := Reap(pidfd, c.proc.Pid)
	c.proc.reaped()
	now := time.Now()
	kills := oomKills(c.cfg.OOMFile) // at once: systemd removes an empty group
	_ = pidfd.Close()                // only read
	c.starting.Lock()                // a start that failed says why before we look
	defer c.starting.Unlock()
	if !c.cfg.Plan.OwnPids() {
		killGroup(c.cfg)
		kills = max(kills, oomKills(c.cfg.OOMFile))
	}
	c.execs.end()
	c.fan.lift()
	c.io.drain()
	c.fan.end()

	c.mu.Lock()
	e := exitOf(status, err)
	e.StartedAt, e.FinishedAt, e.Instance = c.startedAt, now, c.cfg.Instance
	if c.startErr != nil {
		e.Code, e.Signal, e.Reason = c.startErr.ExitCode(), 0, c.startErr.Text
	}
	e.OOMKilled = kills > 0
	// What the container had is let go before its end is known, so that who
	// waited can take it apart; all but the root file system.
	_ = c.proc.Close()
	_ = c.io.close()
	rootfs := c.rootfs
	c.rootfs = nil
	c.mu.Unlock()

	exited := Exited{Exit: e}
	if err := WriteExit(c.cfg.StateDir, &e, c.cfg.Durable); err != nil {
		exited.Unrecorded = err.Error()
	}
	c.mu.Lock()
	c.exited, c.state = exited, StateExited
	c.mu.Unlock()
	close(c.done)

	// The kernel writes out the whole file system below an overlay that goes, which
	// takes as long as the disk needs for what others have written. Nobody shall
	// wait for that to hear of the end: only who mounts the files anew waits, for
	// the end of this process. Let those run first who tell of it.
	runtime.Gosched()
	_ = rootfs.Close()
	close(c.free)
}

func exitOf(status syscall.WaitStatus, err error) Exit {
	switch {
	case err != nil:
		return Exit{Code: 128 + int(syscall.SIGKILL), Reason: "the exit status was lost: " + err.Error()}
	case status.Signaled():
		return Exit{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}
	}
	return Exit{Code: status.ExitStatus()}
}

// oomKills reads the kernel's count of processes of the group that it killed
// for want of memory: memory.events of cgroup v2, memory.oom_control of v1.
func oomKills(file string) uint64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0 // the group has no memory controller, or is gone
	}
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			kills, _ := strconv.ParseUint(strings.TrimSpace(n), 10, 64)
			return kills
		}
	}
	return 0
}

// killGroup kills what is left in the container's group, all that shared its
// pid namespace with others, and waits a bounded time for the end of it.
func killGroup(l *Launch) {
	for range 1000 {
		if l.KillFile == "" || os.WriteFile(l.KillFile, []byte("1"), 0) != nil {
			for _, pid := range members(l.CgroupDirs) { // cgroup v1 has no kill
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
			}
		}
		dirs := l.CgroupDirs
		if l.KillFile != "" {
			dirs = []string{filepath.Dir(l.KillFile)}
		}
		if len(members(dirs)) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// members lists the processes of groups.
func members(dirs []string) []int {
	var pids []int
	for _, dir := range dirs {
		data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for field := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
