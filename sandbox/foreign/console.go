package foreign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
)

// console is the socket to which a runtime sends a terminal's master.
type console struct {
	name     string // in the bundle, which is the runtime's working directory
	path     string
	listener *os.File
}

// listen makes the socket. Paths may be longer than an address has room for.
func listen(dir, name string) (*console, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	l, err := task.Listen("/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + name)
	if err != nil {
		return nil, err
	}
	return &console{name, filepath.Join(dir, name), l}, nil
}

func (c *console) close() {
	_ = c.listener.Close()
	_ = os.Remove(c.path)
}

// receive takes the master when the runtime has ended: by then it was sent.
func (c *console) receive() (*os.File, error) {
	if err := unix.SetNonblock(int(c.listener.Fd()), true); err != nil {
		return nil, err
	}
	conn, err := task.Accept(c.listener)
	if errors.Is(err, unix.EAGAIN) {
		err = errors.New("the runtime sent no terminal")
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var b [256]byte // with it comes the terminal's name
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, err := task.Recvmsg(int(conn.Fd()), b[:], oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("the runtime sent no terminal")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}
