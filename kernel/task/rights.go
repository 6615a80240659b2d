package task

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// SocketPair returns a connected pair of stream sockets, close-on-exec.
func SocketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// Send writes data to a socket, and with its first byte a descriptor, unless
// file is nil.
func Send(socket *os.File, data []byte, file *os.File) error {
	if file == nil {
		_, err := socket.Write(data)
		return err
	}
	n, err := unix.SendmsgN(int(socket.Fd()), data, unix.UnixRights(int(file.Fd())), nil, unix.MSG_NOSIGNAL)
	if err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	_, err = socket.Write(data[n:])
	return err
}

// Receive fills data from a socket and returns the descriptor that came along,
// if any, close-on-exec. The error is io.EOF at the end of the stream.
func Receive(socket *os.File, data []byte) (file *os.File, err error) {
	defer func() {
		if err != nil && file != nil {
			file.Close()
			file = nil
		}
	}()
	oob := make([]byte, unix.CmsgSpace(4))
	for filled := 0; filled < len(data); {
		n, oobn, _, _, err := unix.Recvmsg(int(socket.Fd()), data[filled:], oob, unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECONNRESET), err == nil && n == 0 && filled == 0:
			return file, io.EOF // reset: it left without reading everything
		case err != nil:
			return file, os.NewSyscallError("recvmsg", err)
		case n == 0:
			return file, io.ErrUnexpectedEOF
		}
		filled += n
		if fd := rights(oob[:oobn]); fd >= 0 {
			if file != nil {
				file.Close()
			}
			file = os.NewFile(uintptr(fd), "received")
		}
	}
	return file, nil
}

func rights(oob []byte) int {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return -1
	}
	for _, m := range messages {
		if fds, err := syscall.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return fds[0]
		}
	}
	return -1
}
