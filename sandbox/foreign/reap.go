package foreign

import (
	"bytes"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Adopt makes the caller the parent of what the runtime's commands leave behind,
// and reaps those of it that nobody waits for, until the program ends.
func (r *Runtime) Adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("become subreaper", err)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			r.Reap()
		}
	}()
	return nil
}

// Reap collects children that have ended and that nobody waits for. While a
// command runs, that is not known; the command's end looks again.
func (r *Runtime) Reap() {
	if !r.running.TryLock() {
		return
	}
	defer r.running.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pid := range children() {
		if !r.known[pid] {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // it may live
		}
	}
}

// Forget says that a process was waited for.
func (r *Runtime) Forget(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, pid)
}

// children lists this program's.
func children() (pids []int) {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return nil
	}
	defer dir.Close()
	threads, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	for _, t := range threads {
		text, err := os.ReadFile("/proc/self/task/" + t + "/children")
		if err != nil {
			continue // it has ended
		}
		for field := range bytes.FieldsSeq(text) {
			if pid, err := strconv.Atoi(string(field)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
