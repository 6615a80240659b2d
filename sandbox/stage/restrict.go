package stage

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// restrict gives up everything that the program shall not have. The order is
// runc's: without no_new_privs, loading a filter needs a capability and comes
// before they are dropped; with it, the filter is loaded at the very last
// (exec).
func (s *setup) restrict() error {
	p := s.Spec.Process
	if err := s.labels(); err != nil {
		return err
	}
	if err := s.streams(); err != nil {
		return err
	}
	syscall.Umask(int(umask(p)))
	if s.Spec.Linux.Personality != nil {
		if err := s.personality(); err != nil {
			return err
		}
	}
	if err := s.schedule(); err != nil {
		return err
	}
	if err := closeDescriptors(); err != nil {
		return err
	}
	if err := s.preserve(); err != nil {
		return err
	}
	if err := s.closeProc(); err != nil {
		return err
	}
	// Before the filter, which may forbid to ask where we are. A directory that
	// only root may enter is allowed, one that even root may not (root squash)
	// is tried as the user.
	err := s.workingDir()
	triedAsRoot := !errors.Is(err, os.ErrPermission)
	if err != nil && triedAsRoot {
		return err
	}
	if p.NoNewPrivileges {
		if err := task.NoNewPrivs(); err != nil {
			return err
		}
	} else if err := s.filter(); err != nil {
		return err
	}
	if err := s.credentials(!triedAsRoot); err != nil {
		return err
	}
	if p.NoNewPrivileges && s.Notify {
		return s.filter() // not later: the parent must be there to pass the listener on
	}
	return nil
}

func (s *setup) personality() error {
	switch domain := s.Spec.Linux.Personality.Domain; domain {
	case specs.PerLinux:
		return task.Personality(0)
	case specs.PerLinux32:
		return task.Personality(8)
	default:
		return fmt.Errorf("unknown personality %q", domain)
	}
}

func (s *setup) filter() error {
	if len(s.Seccomp) == 0 {
		return nil
	}
	if s.LimitsFirst {
		if err := s.setLimits(); err != nil {
			return err
		}
	}
	flags, err := s.filterFlags()
	if err != nil {
		return err
	}
	if s.Notify {
		return s.notified(flags)
	}
	return loadFilter(s.Seccomp, flags)
}

// filterFlags are the flags of seccomp(2) to load the filter with.
func (s *setup) filterFlags() (uintptr, error) { return FilterFlags(s.Spec.Linux.Seccomp, s.Notify) }

// FilterFlags are the flags of seccomp(2) that a profile's filter is loaded with;
// notify tells whether it has an agent.
func FilterFlags(p *specs.LinuxSeccomp, notify bool) (flags uintptr, err error) {
	if p == nil {
		return 0, nil
	}
	for _, f := range p.Flags {
		switch f {
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			if notify { // it says how to wait for the agent; the kernel refuses it without one
				flags |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
			}
		case "SECCOMP_FILTER_FLAG_TSYNC":
			// Of all threads only this one survives execve.
		default:
			return 0, fmt.Errorf("seccomp flag %q is unknown", f)
		}
	}
	return flags, nil
}

// streams lets the standard streams be the container's: /dev/null is its own
// node and not the host's, and the user may reopen what it was given
// (/dev/stdout).
func (s *setup) streams() error {
	root, err := os.OpenFile("/", unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	for fd := range 3 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("standard stream %d: %w", fd, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
			err = reopenNull(root, fd)
		} else if uid := s.Spec.Process.User.UID; uid != 0 {
			err = chown(fd, uid)
		}
		if err != nil {
			return fmt.Errorf("standard stream %d: %w", fd, err)
		}
	}
	return nil
}

// chown gives a stream to the user. Whatever it is that cannot be, it was given
// as it is.
func chown(fd int, uid uint32) error {
	err := unix.Fchown(fd, int(uid), -1)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

func reopenNull(root *os.File, fd int) error {
	f, err := mount.OpenDevice(root, "/dev/null", 1, 3, os.O_RDWR)
	if errors.Is(err, os.ErrNotExist) {
		return nil // no /dev in this container
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return task.Inherit(f, fd)
}

// credentials becomes the user with exactly the capabilities of the spec, and
// enters the working directory as that user if root could not.
func (s *setup) credentials(enter bool) error {
	p := s.Spec.Process
	caps, err := s.capabilities()
	if err != nil {
		return err
	}
	if err := dropBounding(caps.bounding); err != nil {
		return err
	}
	if err := task.KeepCaps(true); err != nil {
		return err
	}
	if err := task.SetUser(p.User.UID, p.User.GID, p.User.AdditionalGids); err != nil {
		if s.Opened && errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("user %d or one of its groups is not mapped in the joined user namespace: %w", p.User.UID, err)
		}
		return err
	}
	if enter {
		if err := s.workingDir(); err != nil {
			return err
		}
	}
	if err := task.KeepCaps(false); err != nil {
		return err
	}
	return setCaps(caps.effective, caps.permitted, caps.inheritable, caps.ambient)
}

func (s *setup) workingDir() error {
	cwd := s.Spec.Process.Cwd
	if err := syscall.Chdir(cwd); err != nil {
		return fmt.Errorf("chdir to cwd (%q) set in config.json failed: %w", cwd, err)
	}
	if err := inside(); err != nil {
		return fmt.Errorf("chdir to cwd (%q): %w", cwd, err)
	}
	return nil
}
