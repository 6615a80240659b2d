package lifecycle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
)

// give sends a descriptor and its name to a unix socket.
func give(socket, name string, f *os.File) error {
	// By way of the directory's descriptor, a path may be as long as it is.
	dir, err := os.OpenFile(filepath.Dir(socket), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	conn, err := task.Dial("/proc/self/fd/"+strconv.Itoa(int(dir.Fd()))+"/"+filepath.Base(socket), 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	return task.SendFiles(conn, []byte(name), []*os.File{f})
}

// writePidFile writes a process's number so that a reader sees all or nothing.
func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	fresh := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) { // left by one that was killed
		if err = os.Remove(fresh); err == nil {
			f, err = os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(pid))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
