package ns

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

var kinds = map[int]string{
	unix.CLONE_NEWNS: "mount", unix.CLONE_NEWPID: "pid", unix.CLONE_NEWNET: "network", unix.CLONE_NEWIPC: "ipc",
	unix.CLONE_NEWUTS: "uts", unix.CLONE_NEWCGROUP: "cgroup", unix.CLONE_NEWUSER: "user", unix.CLONE_NEWTIME: "time",
}

// Open opens a namespace file and makes sure that it is one of this kind
// (CLONE_NEW…), which setns(2) says less clearly.
func Open(path string, kind int) (*os.File, error) {
	// A FIFO does not hang, and nothing is opened for writing.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("%s namespace: %w", kinds[kind], err)
	}
	var st unix.Statfs_t
	is := 0
	if err = unix.Fstatfs(int(f.Fd()), &st); err == nil && st.Type == unix.NSFS_MAGIC {
		is, err = unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%s namespace: %s: %w", kinds[kind], path, err)
	case is == 0:
		err = fmt.Errorf("%s namespace: %s is not a namespace: %w", kinds[kind], path, unix.EINVAL)
	case is != kind:
		err = fmt.Errorf("%s namespace: %s is a %s namespace: %w", kinds[kind], path, kinds[is], unix.EINVAL)
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

// EnterMount is Enter for a mount namespace. The thread leaves the others'
// working and root directories: both become the namespace's root.
func EnterMount(f *os.File) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	return Enter(f, unix.CLONE_NEWNS)
}

// A TimeOffset is added to a clock; Nanoseconds are below 10⁹.
type TimeOffset struct {
	Clock       string // "monotonic" or "boottime"
	Seconds     int64
	Nanoseconds uint32
}

// NewTimeNS makes a time namespace with these offsets (time_namespaces(7)).
// Only processes of one thread can enter it, which is what Spawn is for.
func NewTimeNS(offsets []TimeOffset) (*os.File, error) {
	var f *os.File
	err := OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
			return os.NewSyscallError("unshare time namespace", err)
		}
		// The thread's own directory has no such file.
		path := "/proc/" + strconv.Itoa(unix.Gettid()) + "/timens_offsets"
		for _, o := range offsets {
			text := fmt.Sprintf("%s %d %d\n", o.Clock, o.Seconds, o.Nanoseconds)
			err := writeOnce(path, []byte(text))
			if errors.Is(err, unix.ERANGE) {
				err = fmt.Errorf("the clock would leave its range: %w", err)
			}
			if err != nil {
				return fmt.Errorf("time offset %q: %w", text[:len(text)-1], err)
			}
		}
		var err error
		f, err = os.Open("/proc/thread-self/ns/time_for_children")
		return err
	})
	return f, err
}
