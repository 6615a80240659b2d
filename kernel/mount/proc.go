package mount

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Proc is a procfs instance of one's own: nothing can have been mounted over a
// file in it, and no path of a container leads there (CVE-2025-52881,
// CVE-2019-16884).
type Proc struct{ root *os.File }

// NewProc makes one, of the calling thread's pid namespace.
func NewProc() (*Proc, error) {
	f, err := ownProc()
	if err != nil {
		return nil, err
	}
	return &Proc{root: f}, nil
}

// OpenProc takes the instance that is mounted at path, for processes that may
// not make one. It does not reach files that something was mounted over.
func OpenProc(path string) (*Proc, error) {
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	const rootInode = 1 // PROC_ROOT_INO
	var st unix.Stat_t
	magic, err := Magic(f)
	if err == nil {
		err = os.NewSyscallError("fstat", unix.Fstat(int(f.Fd()), &st))
	}
	if err == nil && (magic != unix.PROC_SUPER_MAGIC || st.Ino != rootInode) {
		err = fmt.Errorf("%s is not the root of a procfs", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Proc{root: f}, nil
}

// Close drops the instance.
func (p *Proc) Close() error { return p.root.Close() }

const inProc = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS

// Exists tells whether the kernel has a file or directory at a relative path.
func (p *Proc) Exists(path string) bool {
	f, err := openat2(p.root, path, unix.O_PATH, 0, inProc)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// Read returns the text of a file at a relative path, at most 1 MB of it.
func (p *Proc) Read(path string) (string, error) {
	f, err := openat2(p.root, path, os.O_RDONLY, 0, inProc)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(b), err
}

// Write writes value to a file, in one write. The path is relative
// ("sys/net/ipv4/ip_forward", "self/oom_score_adj").
func (p *Proc) Write(path, value string) error {
	f, err := openat2(p.root, path, os.O_WRONLY, 0, inProc)
	if err != nil {
		return err
	}
	defer f.Close()
	ok, err := onProc(f)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("write %s: not on procfs", path)
	}
	_, err = f.WriteString(value)
	return err
}
