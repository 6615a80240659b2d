package ns

import (
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// OriginalNofile is the limit of open files that this program was started with,
// for SpawnSpec.Nofile; nil if it is what it was. Go raises its own, and gives
// the original back only to what syscall.ForkExec and syscall.Exec execute: so
// it is asked of such a child, which is stopped before it begins.
var OriginalNofile = sync.OnceValue(func() *unix.Rlimit {
	var now, original unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now.Cur != now.Max-1 {
		return nil // not as Go leaves it
	}
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"limit"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Ptrace: true}})
	if err != nil {
		return nil
	}
	defer func() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // our unreaped child
		reap(pid)
	}()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || !status.Stopped() {
		return nil
	}
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &original) != nil {
		return nil
	}
	return &original
})
