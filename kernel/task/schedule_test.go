package task

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A thread without priority gets one from whoever waits for it.
func TestIdle(t *testing.T) {
	thread, done := make(chan int), make(chan struct{})
	var awake func() error
	go func() {
		runtime.LockOSThread() // it ends with its priority
		var err error
		if awake, err = Idle(); err != nil {
			t.Error(err)
		}
		thread <- unix.Gettid()
		<-done
	}()
	id := <-thread
	policy := func(want uint32) {
		t.Helper()
		if a, err := unix.SchedGetAttr(id, 0); err != nil || a.Policy != want {
			t.Errorf("%+v, %v, want policy %d", a, err, want)
		}
	}
	policy(unix.SCHED_IDLE)
	if err := awake(); err != nil {
		t.Error(err)
	}
	policy(unix.SCHED_NORMAL)
	close(done)
}
