package remake

import (
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
)

// files reads what a layer was unpacked to. Names are a stranger's: nothing is
// followed, and what is no regular file is not opened.
type files struct{ root *os.File }

func openFiles(dir string) (files, error) {
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	return files{root}, err
}

// Get opens a file by its name in the tar.
func (f files) Get(name string) (io.ReadCloser, error) {
	handle, err := mount.OpenStrict(f.root, path.Clean("/" + name)[1:], unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	st, err := file.StatAt(handle, "")
	if err != nil {
		return nil, err
	}
	if !st.Mode.IsRegular() {
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.EINVAL}
	}
	return file.Reopen(handle, os.O_RDONLY)
}
