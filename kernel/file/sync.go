package file

import (
	"os"

	"golang.org/x/sys/unix"
)

// Sync waits until a file is on the disk or, of a directory, what its names stand
// for (fsync(2)). A symbolic link is followed.
func Sync(path string) error {
	return with(path, unix.O_RDONLY, 0, func(fd int) error {
		return failed("sync", path, again(func() error { return unix.Fsync(fd) }))
	})
}

// Write is os.WriteFile for small files that are written by the thousand, with
// half of its calls: nobody will wait for such a file.
func Write(path string, data []byte, perm os.FileMode) error {
	return with(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, uint32(perm.Perm()), func(fd int) error {
		for len(data) > 0 {
			var n int
			err := again(func() (err error) {
				n, err = unix.Write(fd, data)
				return err
			})
			if err != nil {
				return failed("write", path, err)
			}
			data = data[n:]
		}
		return nil
	})
}

// with opens a file for the time of a call.
func with(path string, flags int, perm uint32, use func(fd int) error) error {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, perm)
		return err
	})
	if err != nil {
		return failed("open", path, err)
	}
	err = use(fd)
	if closing := unix.Close(fd); err == nil {
		err = failed("close", path, closing)
	}
	return err
}

func failed(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
