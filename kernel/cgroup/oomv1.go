package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// oomV1 listens to memory.oom_control of v1: an event counter for each group,
// all in one set that is waited for.
type oomV1 struct {
	set *os.File // epoll, which the poller of Go can wait for
	raw syscall.RawConn

	mu       sync.Mutex
	counters map[int32]*os.File
	last     int32
}

func newOOMV1() (oomSource, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	s := &oomV1{set: os.NewFile(uintptr(fd), "epoll"), counters: map[int32]*os.File{}}
	if s.raw, err = s.set.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.set.Close())
	}
	return s, nil
}

// add registers an event counter with the group, as the kernel's
// cgroup-v1/memory.rst says.
func (s *oomV1) add(g *Group) (_ int32, err error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return 0, os.NewSyscallError("eventfd", err)
	}
	counter := os.NewFile(uintptr(fd), "eventfd")
	defer func() {
		if err != nil {
			counter.Close()
		}
	}()
	dir := g.dirs["memory"]
	control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err != nil {
		return 0, err
	}
	defer control.Close() // the registration holds it
	if err := write(dir, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control.Fd())); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	id := s.last
	err = s.control(func(set int) error {
		return unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: id})
	})
	if err != nil {
		return 0, os.NewSyscallError("epoll_ctl", err)
	}
	s.counters[id] = counter
	return id, nil
}

func (s *oomV1) control(do func(set int) error) error {
	var err error
	if cerr := s.raw.Control(func(fd uintptr) { err = do(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// remove closes the counter, which ends its registration and its place in the
// set.
func (s *oomV1) remove(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.counters[id]; c != nil {
		_ = c.Close() // only read
		delete(s.counters, id)
	}
}

func (s *oomV1) wait() (ids []int32, err error) {
	var events [64]unix.EpollEvent
	n := 0
	rerr := s.raw.Read(func(fd uintptr) bool {
		n, err = unix.EpollWait(int(fd), events[:], 0)
		if errors.Is(err, unix.EINTR) {
			n, err = 0, nil
		}
		return n > 0 || err != nil
	})
	for _, e := range events[:max(n, 0)] {
		ids = append(ids, e.Fd) // what we put there
	}
	return ids, errors.Join(err, rerr)
}

func (s *oomV1) setDeadline(t time.Time) { _ = s.set.SetReadDeadline(t) }

// settled: nothing comes any more, because the group is gone, which is announced
// as well, or its processes are not killed but wait (oom_kill_disable). Whether
// a kill still comes, nothing tells: under_oom is back at 0 before it, and the
// kernel's report on a slow console lies in between.
func (s *oomV1) settled(g *Group) bool {
	text, err := os.ReadFile(filepath.Join(g.dirs["memory"], "memory.oom_control"))
	return err != nil || bytes.Contains(text, []byte("oom_kill_disable 1\n"))
}

func (s *oomV1) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.counters {
		_ = c.Close() // only read
		delete(s.counters, id)
	}
	return s.set.Close()
}
