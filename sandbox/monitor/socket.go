package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
)

// SocketName is the socket's name in a sandbox's directory.
const SocketName = "monitor.sock"

const socketType = unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK

func again(err error) bool { return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) }

func keepAlive(files []*os.File) { runtime.KeepAlive(files) }

// Pair makes a connected pair: one end as a Conn, the other to be inherited.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	other := os.NewFile(uintptr(fds[1]), "control")
	c, err := NewConn(fds[0])
	if err != nil {
		return nil, nil, errors.Join(err, other.Close())
	}
	return c, other, nil
}

// within calls fn with an address of the socket in dir that fits into
// sun_path however long dir is.
func within(dir string, fn func(addr *unix.SockaddrUnix) error) error {
	d, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	path := "/proc/self/fd/" + strconv.Itoa(int(d.Fd()))
	return fn(&unix.SockaddrUnix{Name: filepath.Join(path, SocketName)})
}

// listen makes the socket in dir. It fails if there is one already.
func listen(dir string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, socketType, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), SocketName)
	err = unix.Fchmod(fd, 0o600) // of the file that bind makes
	if err == nil {
		err = within(dir, func(a *unix.SockaddrUnix) error { return unix.Bind(fd, a) })
	}
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", filepath.Join(dir, SocketName), err), f.Close())
	}
	return f, nil
}

// accept waits for the next connection of somebody who is trusted, for which the
// gate is entered.
func accept(l syscall.RawConn, g *gate) (*Conn, error) {
	for {
		fd := -1
		var err error
		rerr := g.take(l, func(lfd uintptr) bool {
			fd, err = task.AcceptFD(int(lfd), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return !errors.Is(err, syscall.EAGAIN)
		})
		if err := errors.Join(err, rerr); err != nil {
			return nil, fmt.Errorf("accept: %w", err) // the program ends
		}
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err == nil && trusted(cred) {
			return NewConn(fd)
		}
		_ = unix.Close(fd)
		g.leave()
	}
}

// Dial connects to the monitor of dir.
func Dial(dir string) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, socketType, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = within(dir, func(a *unix.SockaddrUnix) error {
		for tries := 0; ; tries++ {
			err := unix.Connect(fd, a)
			if !again(err) || tries == 1000 {
				return err
			}
			time.Sleep(time.Millisecond) // the backlog is full
		}
	})
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", filepath.Join(dir, SocketName), err)
	}
	return NewConn(fd)
}

// hungUp waits until the other side of the socket is wholly closed. Its
// reading end has already reported the end of the file.
func hungUp(c *Conn) {
	_ = c.raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(p, 0)
		return err != nil && !errors.Is(err, syscall.EINTR) || n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
}

// CloseWrite tells the other side that nothing more comes.
func (c *Conn) CloseWrite() error {
	var err error
	cerr := c.raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(os.NewSyscallError("shutdown", err), cerr)
}
