package task

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// SocketPair returns a connected pair of stream sockets, close-on-exec. Waiting
// on the first one takes no thread; the second one, which is to be inherited,
// blocks.
func SocketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("set non-blocking", err), unix.Close(fds[0]), unix.Close(fds[1]))
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
	return SendFiles(socket, data, []*os.File{file})
}

// recvmsg waits for data in the way that suits the socket.
func recvmsg(socket *os.File, data, oob []byte) (n, oobn, flags int, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, 0, 0, err
	}
	rerr := raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, err = Recvmsg(int(fd), data, oob, unix.MSG_CMSG_CLOEXEC)
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if rerr != nil {
		return 0, 0, 0, rerr
	}
	return n, oobn, flags, err
}

func sendmsg(socket *os.File, data, oob []byte) (n int, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	rerr := raw.Write(func(fd uintptr) bool {
		for {
			n, err = unix.SendmsgN(int(fd), data, oob, nil, unix.MSG_NOSIGNAL)
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if rerr != nil {
		return 0, rerr
	}
	return n, err
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
		n, oobn, _, err := recvmsg(socket, data[filled:], oob)
		switch {
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
