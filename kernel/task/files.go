package task

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// SendFiles writes data to a socket, and with its first byte descriptors.
func SendFiles(socket *os.File, data []byte, files []*os.File) error {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	n, err := sendmsg(socket, data, unix.UnixRights(fds...))
	runtime.KeepAlive(files)
	if err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	if n == len(data) {
		return nil
	}
	_, err = socket.Write(data[n:])
	return err
}

// ReceiveFiles fills data from a socket and returns the descriptors that came
// with its first byte, close-on-exec. More than most are an error. The error
// is io.EOF at the end of the stream.
func ReceiveFiles(socket *os.File, data []byte, most int) ([]*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4*most))
	n, oobn, flags, err := recvmsg(socket, data, oob)
	switch {
	case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
		return nil, io.EOF
	case err != nil:
		return nil, os.NewSyscallError("recvmsg", err)
	}
	files := opened(oob[:oobn])
	if flags&unix.MSG_CTRUNC != 0 {
		err = errors.New("too many descriptors")
	} else if n < len(data) {
		_, err = io.ReadFull(socket, data[n:])
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return nil, err
	}
	return files, nil
}

func opened(oob []byte) []*os.File {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var files []*os.File
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files
}
