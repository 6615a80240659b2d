package conformance

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenForFile takes one file from a runtime, over a socket at path.
func listenForFile(t *testing.T, path string) <-chan *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	check(t, err)
	t.Cleanup(func() { l.Close() })
	got := make(chan *os.File, 1)
	go func() {
		defer close(got)
		check := l.SetDeadline(time.Now().Add(patience))
		conn, err := l.AcceptUnix()
		if check != nil || err != nil {
			return
		}
		defer conn.Close()
		_, files, err := receive(conn)
		if err == nil && len(files) > 0 {
			got <- files[0]
		}
	}()
	return got
}

// receive reads one message and the files that came with it.
func receive(conn *net.UnixConn) ([]byte, []*os.File, error) {
	data, control := make([]byte, 1<<16), make([]byte, 256)
	n, c, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return nil, nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(control[:c])
	if err != nil {
		return nil, nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return nil, nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return data[:n], files, nil
}

// readTerminal returns what was written to a terminal whose other end is closed.
func readTerminal(master *os.File) string {
	var text strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(int(master.Fd()), buf)
		if n > 0 {
			text.Write(buf[:n])
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 { // EIO: nobody has the other end
			return text.String()
		}
	}
}
