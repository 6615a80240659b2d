package ns

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// OnThread runs fn on a thread that is thrown away afterwards, so that fn may
// change it (setns, unshare). It is never the main thread.
func OnThread(fn func() error) error {
	done := make(chan error, 1)
	go onThread(fn, done)
	return <-done
}

func onThread(fn func() error, done chan<- error) {
	runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
	if unix.Gettid() == unix.Getpid() {
		// The main thread is held here while another one does the work. It is
		// unchanged and may be given back.
		inner := make(chan error, 1)
		go onThread(fn, inner)
		err := <-inner
		runtime.UnlockOSThread()
		done <- err
		return
	}
	done <- fn()
}

// NewNetNS makes a network namespace with nothing but a loopback interface
// that is down. It lives as long as a process, a mount or a descriptor refers
// to it.
func NewNetNS() (*os.File, error) {
	return NewNetNSWith(nil, func(*os.File) error { return nil })
}

// NewNetNSWith is NewNetNS, and runs setup on a thread in the namespace, with its
// descriptor; if setup fails, there is no namespace. It belongs to the user
// namespace user (NewNetNSOf); nil: to the caller's.
func NewNetNSWith(user *os.File, setup func(f *os.File) error) (f *os.File, err error) {
	if user != nil {
		if f, err = NewNetNSOf(user); err == nil {
			err = WithNetNS(f, func() error { return setup(f) })
		}
	} else {
		err = OnThread(func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return os.NewSyscallError("unshare network namespace", err)
			}
			if f, err = os.Open("/proc/thread-self/ns/net"); err != nil {
				return err
			}
			return setup(f)
		})
	}
	if err != nil && f != nil {
		f.Close()
		f = nil
	}
	return f, err
}

// WithNetNS runs fn in the network namespace f. fn must not hand its work to
// other goroutines: they run elsewhere. Sockets that fn makes stay in f.
func WithNetNS(f *os.File, fn func() error) error {
	return OnThread(func() error {
		if err := Enter(f, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	})
}

// Enter moves the calling thread into the namespace f, whose type (a
// CLONE_NEW… constant) must be kind. Use it inside OnThread. Entering a pid
// namespace concerns only the thread's later children.
func Enter(f *os.File, kind int) error {
	err := unix.Setns(int(f.Fd()), kind)
	runtime.KeepAlive(f)
	return os.NewSyscallError("setns", err)
}

// Same tells whether two descriptors refer to the same namespace (or file).
func Same(a, b *os.File) (bool, error) {
	sa, err := a.Stat()
	if err != nil {
		return false, err
	}
	sb, err := b.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(sa, sb), nil
}
