package lifecycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// A Root is a directory of containers. Each has a directory in it, with its
// own name and mode 0700.
type Root struct {
	// Dir is absolute. It is made when the first container is.
	Dir string
	// Systemd has systemd make the cgroups; their paths have its form then,
	// slice:prefix:name.
	Systemd bool
	// Warn receives what no caller can be told. Default: nobody.
	Warn func(text string)
	// Debug receives what happens on the way, step by step. Default: nobody.
	Debug func(text string)
}

func (r *Root) warn(format string, args ...any) {
	if r.Warn != nil {
		r.Warn(fmt.Sprintf(format, args...))
	}
}

// debug tells a step. Where runc has the same step, its words are part of the
// line: people and tests look for them.
func (r *Root) debug(format string, args ...any) {
	if r.Debug != nil {
		r.Debug(fmt.Sprintf(format, args...))
	}
}

// The errors have runc's words, which containerd, dockerd and podman look for.
var (
	errExists     = fmt.Errorf("container with given ID already exists: %w", errdefs.ErrAlreadyExists)
	errNotFound   = fmt.Errorf("container does not exist: %w", errdefs.ErrNotFound)
	errNotRunning = fmt.Errorf("container not running: %w", errdefs.ErrFailedPrecondition)
)

func validID(id string) error {
	if id == "" {
		return fmt.Errorf("container id cannot be empty: %w", errdefs.ErrInvalidArgument)
	}
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_+.-"
	if id == "." || id == ".." || len(id) > unix.NAME_MAX || strings.Trim(id, letters) != "" {
		return fmt.Errorf("invalid container ID format: %q: %w", id, errdefs.ErrInvalidArgument)
	}
	return nil
}

// A Container is one that Root has a directory of.
type Container struct {
	record
	root *Root
	dir  *os.File
}

// claim makes the directory of a new container and locks it.
func (r *Root) claim(id string) (*Container, error) {
	if err := validID(id); err != nil {
		return nil, err
	}
	path := filepath.Join(r.Dir, id)
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(r.Dir, 0o700); err != nil {
			return nil, err
		}
		err = os.Mkdir(path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, errExists
	}
	if err != nil {
		return nil, err
	}
	c, err := r.lock(id)
	if err != nil {
		_ = os.Remove(path) // what failed before says more
		return nil, err
	}
	return c, nil
}

// lock waits until nobody else changes the container. It does not read the
// record.
func (r *Root) lock(id string) (*Container, error) {
	dir, err := r.open(id)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if err != unix.EINTR { //nolint:errorlint // a raw number
			break
		}
	}
	if err == nil {
		// Whom we waited for may have removed it.
		var st unix.Stat_t
		if err = unix.Fstat(int(dir.Fd()), &st); err == nil && st.Nlink == 0 {
			err = errNotFound
		}
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return &Container{root: r, dir: dir, record: record{ID: id}}, nil
}

func (r *Root) open(id string) (*os.File, error) {
	if err := validID(id); err != nil {
		return nil, err
	}
	dir, err := os.OpenFile(filepath.Join(r.Dir, id), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotFound
	}
	return dir, err
}

// Load finds a container to look at. The caller closes it.
func (r *Root) Load(id string) (*Container, error) {
	dir, err := r.open(id)
	if err != nil {
		return nil, err
	}
	return r.loaded(&Container{root: r, dir: dir, record: record{ID: id}})
}

// hold finds a container to change, and locks it until it is closed.
func (r *Root) hold(id string) (*Container, error) {
	c, err := r.lock(id)
	if err != nil {
		return nil, err
	}
	return r.loaded(c)
}

func (r *Root) loaded(c *Container) (*Container, error) {
	if err := c.read(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// IDs lists the names of all containers, sorted.
func (r *Root) IDs() ([]string, error) {
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && validID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Close gives the container's lock and descriptor back.
func (c *Container) Close() error { return c.dir.Close() }

// path leads to a file in the container's directory. It is short: the path of
// a socket has 107 bytes at most.
func (c *Container) path(name string) string {
	return "/proc/self/fd/" + strconv.Itoa(int(c.dir.Fd())) + "/" + name
}

// locked tells whether somebody changes the container just now.
func (c *Container) locked() bool {
	dir, err := c.root.open(c.ID) // a lock belongs to the open file, and ours may be locked by us
	if err != nil {
		return false
	}
	defer dir.Close()
	return unix.Flock(int(dir.Fd()), unix.LOCK_SH|unix.LOCK_NB) == unix.EWOULDBLOCK
}

// unlock lets others change the container while it stays open.
func (c *Container) unlock() error {
	return os.NewSyscallError("unlock", unix.Flock(int(c.dir.Fd()), unix.LOCK_UN))
}
