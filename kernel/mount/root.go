package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds how many dangling links MkdirAllInRoot follows.
const maxLinks = 40

// OpenInRoot opens path as a process with the root directory root would see
// it: absolute links and ".." stay inside. Magic links (/proc/self/fd/…) are
// refused. flags are os.O_… and unix.O_PATH; the descriptor is always
// close-on-exec. The error is an *os.PathError.
//
// Opening what is not a regular file may hang (FIFO) or have effects
// (device): open with unix.O_PATH first if path is a stranger's, or use
// ReadFileInRoot.
func OpenInRoot(root *os.File, path string, flags int, perm os.FileMode) (*os.File, error) {
	return inRoot(root, path, flags, perm)
}

// OpenStrict is OpenInRoot that refuses every symbolic link, in any component
// (ELOOP).
func OpenStrict(root *os.File, path string, flags int, perm os.FileMode) (*os.File, error) {
	return openat2(root, path, flags, perm, noLinks)
}

func openat2(root *os.File, path string, flags int, perm os.FileMode, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	if flags&unix.O_PATH == 0 {
		how.Flags |= unix.O_NOCTTY
	}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(bits(perm))
	}
	name := path
	if name == "" {
		name = "."
	}
	for range 128 {
		fd, err := unix.Openat2(int(root.Fd()), name, &how)
		runtime.KeepAlive(root)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			// Something was renamed or mounted meanwhile, and the kernel could
			// not prove that ".." stays inside.
			continue
		default:
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: unix.EAGAIN}
}

func bits(m os.FileMode) uint32 {
	b := uint32(m.Perm())
	if m&os.ModeSetuid != 0 {
		b |= unix.S_ISUID
	}
	if m&os.ModeSetgid != 0 {
		b |= unix.S_ISGID
	}
	if m&os.ModeSticky != 0 {
		b |= unix.S_ISVTX
	}
	return b
}

// ReadFileInRoot reads a regular file of at most limit bytes. Anything else
// (FIFO, device, directory) is an error without being opened; a longer file is
// one that wraps EFBIG.
func ReadFileInRoot(root *os.File, path string, limit int64) ([]byte, error) {
	b, err := ReadHeadInRoot(root, path, limit+1)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("longer than %d bytes: %w", limit, unix.EFBIG)}
	}
	return b, nil
}

// ReadHeadInRoot reads the first n bytes of a regular file, or all if it has
// fewer; the rest is as for ReadFileInRoot.
func ReadHeadInRoot(root *os.File, path string, n int64) ([]byte, error) {
	handle, err := OpenInRoot(root, path, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	info, err := handle.Stat()
	if err != nil {
		return nil, err
	}
	if !readable(info) {
		return nil, &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("not a regular file: %w", unix.EINVAL)}
	}
	f, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(handle.Fd())), os.O_RDONLY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.Unwrap(err)}
	}
	defer f.Close()
	return io.ReadAll(bounded(f, n))
}

// MkdirAllInRoot makes directories as mkdir -p would with root as root
// directory, dangling links included. Only what it makes gets perm, uid and
// gid. It is an error (ENOTDIR) if path is something else than a directory.
func MkdirAllInRoot(root *os.File, path string, perm os.FileMode, uid, gid int) error {
	f, err := MakeDir(root, path, perm, uid, gid)
	if err != nil {
		return err
	}
	return f.Close()
}

// MakeDir is MkdirAllInRoot that returns the directory, opened with O_PATH.
func MakeDir(root *os.File, path string, perm os.FileMode, uid, gid int) (*os.File, error) {
	m := maker{root: root, perm: perm, uid: uid, gid: gid}
	return m.dir(path)
}

// MakeFile opens path with O_PATH; if it is missing, it makes an empty regular
// file there, with the directories above, owned by root.
func MakeFile(root *os.File, name string, perm os.FileMode) (*os.File, error) {
	m := maker{root: root, perm: 0o755}
	for range maxLinks {
		f, err := OpenInRoot(root, name, unix.O_PATH, 0)
		if !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
		dir, base := path.Split(path.Clean("/" + name))
		parent, err := m.dir(dir)
		if err != nil {
			return nil, err
		}
		f, target, err := createFile(parent, base, perm)
		parent.Close()
		if err != nil || f != nil {
			return f, err
		}
		name = follow(dir, target)
	}
	return nil, &os.PathError{Op: "create", Path: name, Err: unix.ELOOP}
}

// createFile returns the new file, or where the link goes that is in its place.
func createFile(parent *os.File, base string, perm os.FileMode) (*os.File, string, error) {
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_WRONLY | unix.O_CLOEXEC
	fd, err := unix.Openat(int(parent.Fd()), base, flags, bits(perm))
	if errors.Is(err, unix.EEXIST) {
		target, err := readlink(parent, base)
		return nil, target, err
	}
	if err != nil {
		return nil, "", &os.PathError{Op: "create", Path: base, Err: err}
	}
	return os.NewFile(uintptr(fd), base), "", nil
}

type maker struct {
	root     *os.File
	perm     os.FileMode
	uid, gid int
	links    int
}

func (m *maker) dir(name string) (*os.File, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY
	f, err := OpenInRoot(m.root, name, flags, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	above, base := path.Split(path.Clean("/" + name))
	parent, err := m.dir(above)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	err = unix.Mkdirat(int(parent.Fd()), base, bits(m.perm))
	if err == nil {
		return m.made(parent, base)
	}
	if !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	// A link to nothing is in the way, or somebody was quicker.
	if m.links++; m.links > maxLinks {
		return nil, &os.PathError{Op: "mkdir", Path: name, Err: unix.ELOOP}
	}
	target, err := readlink(parent, base)
	if errors.Is(err, unix.EINVAL) {
		return OpenInRoot(m.root, name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	return m.dir(follow(above, target))
}

// made opens the directory that was just made and gives it mode and owner.
func (m *maker) made(parent *os.File, base string) (*os.File, error) {
	fd, err := unix.Openat(int(parent.Fd()), base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: base, Err: err}
	}
	f := os.NewFile(uintptr(fd), base)
	if m.uid != 0 || m.gid != 0 {
		err = f.Chown(m.uid, m.gid)
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err == nil {
		// Whatever the umask left; the group's inheritance is the parent's.
		err = unix.Fchmod(fd, bits(m.perm)|st.Mode&unix.S_ISGID)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func readlink(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

func follow(dir, target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	return dir + "/" + target
}
