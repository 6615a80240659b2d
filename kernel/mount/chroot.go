package mount

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Chroot is Pivot for a host whose root directory is its initial RAM disk,
// which cannot be exchanged. What was mounted before stays below root, where no
// path leads: ".." of a mount's root goes to the topmost mount there. But the
// host's procfs and sysfs are taken away first: a process that makes a user
// namespace may mount its own only where one without covered files is mounted.
func Chroot(root *os.File) error {
	if err := dropBare(); err != nil {
		return err
	}
	return ChangeRoot(root)
}

// ChangeRoot makes root the calling process's root and working directory, and
// leaves the mount namespace as it is.
func ChangeRoot(root *os.File) error {
	if err := root.Chdir(); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	return unix.Chdir("/")
}

// dropBare unmounts procfs and sysfs wherever paths of the calling process
// lead. Those of the container are not there yet.
func dropBare() error {
	all, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.fstype != "proc" && m.fstype != "sysfs" {
			continue
		}
		err := unix.Unmount(m.point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // the container's, on another root
			return fmt.Errorf("unmount the host's %s: %w", m.point, err)
		}
	}
	return nil
}

// unescape reads the octal escapes of mountinfo (proc_pid_mountinfo(5)). A
// strings.Replacer would be a fiftieth of the smallest program's code.
func unescape(s string) string {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		c, rest := s[0], s[1:]
		if c == '\\' && len(s) >= 4 {
			if n, err := strconv.ParseUint(s[1:4], 8, 8); err == nil {
				c, rest = byte(n), s[4:]
			}
		}
		out, s = append(out, c), rest
	}
	return string(out)
}
