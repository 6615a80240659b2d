package ns

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// An IDMap says that Size user or group ids from Inside on, in a user
// namespace, are those from Outside on in its parent (user_namespaces(7)).
type IDMap struct{ Inside, Outside, Size uint32 }

// NewUserNS makes a user namespace with these mappings. It lives as long as a
// process, a mount or a descriptor refers to it. It needs CAP_SETUID and
// CAP_SETGID, and the host's procfs at /proc.
func NewUserNS(uids, gids []IDMap) (*os.File, error) {
	// A child that never gets further than waiting is good for its namespace.
	c := &child{clone: unix.CLONE_NEWUSER | unix.CLONE_PIDFD, cgroup: -1, empty: -1, base: -1, pidfd: -1, wait: -1, leash: -1}
	report, err := c.pipes(true)
	if err != nil {
		return nil, err
	}
	defer report.Close()
	c.exe = c.wait // any that is open
	pid, errno := c.fork()
	c.closeTheirs()
	if errno != 0 {
		c.release(false)
		return nil, os.NewSyscallError("clone into a user namespace", errno)
	}
	handle := os.NewFile(uintptr(c.pidfd), "pidfd")
	defer handle.Close()
	defer reap(pid)
	defer c.release(false)
	seen, err := pidInProc(handle)
	if err != nil {
		return nil, err
	}
	dir := "/proc/" + strconv.Itoa(seen)
	if err := WriteIDMaps(dir, uids, gids); err != nil {
		return nil, err
	}
	return os.Open(dir + "/ns/user")
}

// NewNetNSOf makes a network namespace that belongs to a user namespace, whose
// root has all rights over it; otherwise it is as one of NewNetNS.
func NewNetNSOf(user *os.File) (*os.File, error) {
	c := &child{
		clone: unix.CLONE_PIDFD, unshare: unix.CLONE_NEWNET, join: []joinFD{{int(user.Fd()), unix.CLONE_NEWUSER}},
		hold: true, cgroup: -1, empty: -1, base: -1, pidfd: -1, wait: -1, leash: -1,
	}
	report, err := c.pipes(true)
	if err != nil {
		return nil, err
	}
	defer report.Close()
	c.exe = c.wait // any that is open
	pid, errno := c.fork()
	runtime.KeepAlive(user)
	c.closeTheirs()
	if errno != 0 {
		c.release(false)
		return nil, os.NewSyscallError("clone", errno)
	}
	handle := os.NewFile(uintptr(c.pidfd), "pidfd")
	defer handle.Close()
	defer reap(pid)
	defer c.release(false)
	if err := held(report); err != nil {
		return nil, fmt.Errorf("network namespace of a user namespace: %w", err)
	}
	seen, err := pidInProc(handle)
	if err != nil {
		return nil, err
	}
	return os.Open("/proc/" + strconv.Itoa(seen) + "/ns/net")
}

// WriteIDMaps gives the user namespace of the process whose procfs directory
// dir is its mappings, once.
func WriteIDMaps(dir string, uids, gids []IDMap) error {
	for _, m := range []struct {
		file string
		ids  []IDMap
	}{{"uid_map", uids}, {"gid_map", gids}} {
		// The kernel wants all of it in one write.
		var text []byte
		for _, id := range m.ids {
			for _, n := range []uint32{id.Inside, id.Outside, id.Size} {
				text = append(strconv.AppendUint(text, uint64(n), 10), ' ')
			}
			text[len(text)-1] = '\n'
		}
		if err := writeOnce(dir+"/"+m.file, text); err != nil {
			return fmt.Errorf("map ids %q: %w", text, err)
		}
	}
	return nil
}

// RootOf returns what id 0 of a process's user namespace is here, by one of its
// files uid_map and gid_map.
func RootOf(pidfd *os.File, file string) (int, error) {
	pid, err := pidInProc(pidfd)
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "0" {
			return strconv.Atoi(string(f[1]))
		}
	}
	return 0, fmt.Errorf("%s has no root", file)
}

func writeOnce(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// pidInProc returns the number of a process as the procfs at /proc counts,
// which may be that of an outer pid namespace.
func pidInProc(pidfd *os.File) (int, error) {
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(pidfd.Fd())))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(info) {
		if value, ok := bytes.CutPrefix(line, []byte("Pid:")); ok {
			pid, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err == nil && pid <= 0 {
				err = unix.ESRCH
			}
			return pid, err
		}
	}
	return 0, fmt.Errorf("/proc does not know the process: %w", unix.ESRCH)
}
