package monitor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
)

const (
	// maxMessage bounds one message.
	maxMessage = 8 << 20
	// maxFiles bounds the descriptors of one message: those that have names, and
	// MaxMounts.
	maxFiles = 8 + MaxMounts
	// MaxMounts bounds the mounts whose sources come with Launch.
	MaxMounts = 64
)

// A Conn carries messages over a unix stream socket. One goroutine may
// receive, any number may send.
type Conn struct {
	f    *os.File
	raw  syscall.RawConn
	send sync.Mutex
	gate *gate // entered by who receives a message; nil on the daemon's side
}

// NewConn takes over the socket fd.
func NewConn(fd int) (*Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("set non-blocking", err)
	}
	return NewConnOf(os.NewFile(uintptr(fd), "socket"))
}

// NewConnOf takes over a socket that waits in the poller.
func NewConnOf(f *os.File) (*Conn, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Conn{f: f, raw: raw}, nil
}

// File is the socket itself, for streams after attach.
func (c *Conn) File() *os.File { return c.f }

// Close closes the socket; a blocked Receive ends.
func (c *Conn) Close() error { return c.f.Close() }

// Send sends one message, with files if any.
func (c *Conn) Send(m *Message, files ...*os.File) error {
	f := fields{out: make([]byte, 4, 512)}
	f.write(m)
	b := f.out
	if len(b) > maxMessage {
		return fmt.Errorf("send: message of %d bytes is too long", len(b))
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.send.Lock()
	defer c.send.Unlock()
	if len(files) > 0 {
		n, err := c.sendFiles(b, files)
		if err != nil {
			return fmt.Errorf("send descriptors: %w", err)
		}
		b = b[n:]
	}
	if _, err := c.f.Write(b); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func (c *Conn) sendFiles(b []byte, files []*os.File) (n int, err error) {
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return 0, err
		}
		// The number stays valid for as long as files are referenced: below.
		if err := raw.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return 0, err
		}
	}
	rights := unix.UnixRights(fds...)
	werr := c.raw.Write(func(fd uintptr) bool {
		n, err = unix.SendmsgN(int(fd), b, rights, nil, unix.MSG_NOSIGNAL)
		return !again(err)
	})
	keepAlive(files)
	return n, errors.Join(err, werr)
}

// Receive returns the next message and the descriptors that came with it;
// io.EOF when the other side has closed. Descriptors are close-on-exec.
func (c *Conn) Receive() (*Message, []*os.File, error) {
	var head [4]byte
	files, entered, err := c.receiveHead(head[:])
	var m *Message
	if err == nil {
		m, err = c.receiveBody(binary.BigEndian.Uint32(head[:]))
	}
	if err != nil {
		closeAll(files)
		if entered {
			c.gate.leave()
		}
		return nil, nil, err
	}
	return m, files, nil
}

// receiveHead reads the length; descriptors ride on its first byte.
func (c *Conn) receiveHead(head []byte) (_ []*os.File, entered bool, err error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	var n, oobn, flags int
	rerr := c.gate.take(c.raw, func(fd uintptr) bool {
		n, oobn, flags, err = task.Recvmsg(int(fd), head, oob, unix.MSG_CMSG_CLOEXEC)
		return !again(err)
	})
	entered = rerr == nil
	if err = errors.Join(err, rerr); err != nil {
		return nil, entered, fmt.Errorf("receive: %w", err)
	}
	if n == 0 {
		return nil, entered, io.EOF
	}
	files, err := received(oob[:oobn])
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errors.New("too many descriptors")
	}
	if err == nil && n < len(head) {
		_, err = io.ReadFull(c.f, head[n:])
	}
	if err != nil {
		return files, entered, fmt.Errorf("receive: %w", err)
	}
	return files, entered, nil
}

func received(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func (c *Conn) receiveBody(n uint32) (*Message, error) {
	if n > maxMessage {
		return nil, fmt.Errorf("receive: message of %d bytes is too long", n)
	}
	body := make([]byte, n)
	m := new(Message)
	_, err := io.ReadFull(c.f, body)
	if err == nil {
		err = Unmarshal(body, m)
	}
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return m, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing was written
		}
	}
}
