package ns

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Visitor is a thread that goes into network namespaces for others, one after
// the other: for small errands it is cheaper than WithNetNS, which needs a new
// thread for each.
type Visitor struct {
	mu     sync.Mutex // one errand at a time
	errand chan func() error
	result chan error
}

// NewVisitor starts the thread; Close ends it.
func NewVisitor() (*Visitor, error) {
	// A thread that stayed where it was last would keep the namespace alive.
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	v := &Visitor{errand: make(chan func() error), result: make(chan error)}
	go func() {
		defer home.Close()
		_ = OnThread(func() error {
			for do := range v.errand {
				err := do()
				v.result <- errors.Join(err, Enter(home, unix.CLONE_NEWNET))
			}
			return nil
		})
	}()
	return v, nil
}

// Do runs fn in the network namespace f and comes back. fn must not wait for anything, nor
// hand its work to other goroutines.
func (v *Visitor) Do(f *os.File, fn func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.errand <- func() error {
		if err := Enter(f, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	}
	return <-v.result
}

// Close ends the thread. Do must not be called afterwards.
func (v *Visitor) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.errand)
}

// OfSocket returns the network namespace that a socket is in (SIOCGSKNS).
func OfSocket(c syscall.Conn) (*os.File, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(s uintptr) {
		fd, _, errno = unix.Syscall(unix.SYS_IOCTL, s, unix.SIOCGSKNS, 0)
	})
	if errno != 0 {
		err = errors.Join(err, errno)
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace of a socket: %w", err)
	}
	unix.CloseOnExec(int(fd))
	return os.NewFile(fd, "network namespace"), nil
}
