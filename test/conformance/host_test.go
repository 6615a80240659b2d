package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mount puts a tmpfs on a directory of the host until the test ends.
func mount(t *testing.T, dir, propagation string) {
	t.Helper()
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if out, err := exec.Command("mount", propagation, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// namespace makes a process that holds a namespace of its own and returns the
// path of that.
func namespace(t *testing.T, flag uintptr, name string) string {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag, Pdeathsig: syscall.SIGKILL}
	if flag == unix.CLONE_NEWUSER {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings, cmd.SysProcAttr.GidMappingsEnableSetgroups = ids, ids, true
	}
	if flag == unix.CLONE_NEWTIME { // clone has no such bit
		cmd = exec.Command("unshare", "--time", "--fork", "sleep", "1000")
	}
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	path := "/proc/" + itoa(cmd.Process.Pid) + "/ns/" + name
	if flag == unix.CLONE_NEWTIME {
		path += "_for_children"
		eventually(t, "a time namespace", func() bool { return readlink(t, path) != readlink(t, "/proc/self/ns/time") })
	}
	return path
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	to, err := os.Readlink(path)
	check(t, err)
	return to
}

// host runs a command on the host.
func host(t *testing.T, args ...string) {
	t.Helper()
	check(t, hostTry(args...))
}

func hostTry(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", args, err, out)
	}
	return nil
}
