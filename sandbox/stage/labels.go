package stage

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// labels sets the LSM labels that come with execve. What this host's kernel
// does not enforce is refused: a container is never less confined than it was
// asked to be (CVE-2019-16884).
func (s *setup) labels() error {
	p := s.Spec.Process
	if p.ApparmorProfile != "" {
		if err := s.apparmor(p.ApparmorProfile); err != nil {
			return fmt.Errorf("apparmor profile %q: %w", p.ApparmorProfile, err)
		}
	}
	if p.SelinuxLabel != "" {
		if err := s.selinux(); err != nil {
			return fmt.Errorf("SELinux label %q: %w", p.SelinuxLabel, err)
		}
		// A label that the policy does not know is refused here (EINVAL).
		if err := s.proc.Write("thread-self/attr/exec", p.SelinuxLabel); err != nil {
			return fmt.Errorf("SELinux label %q: %w", p.SelinuxLabel, err)
		}
	}
	return nil
}

// apparmor sets the profile that comes with execve. On a host without AppArmor
// everything is unconfined; a profile that is not loaded is an error.
func (s *setup) apparmor(profile string) error {
	const dir = "thread-self/attr/apparmor"
	if !s.proc.Exists(dir) {
		if profile == "unconfined" {
			return nil
		}
		return errors.New("this host has no AppArmor")
	}
	err := s.proc.Write(dir+"/exec", "exec "+profile)
	if errors.Is(err, unix.ENOENT) { // which clients take for a program that is not there
		return errors.New("it is not loaded; apparmor_parser -r loads one")
	}
	return err
}

// openProc makes a procfs instance that no container can reach, once.
func (s *setup) openProc() (err error) {
	if s.proc != nil {
		return nil
	}
	s.proc, err = mount.NewProc()
	if s.Opened && errors.Is(err, unix.EPERM) {
		// The pid namespace is another user namespace's. What is in the way in
		// the host's instance is an error.
		s.proc, err = mount.OpenProc("/proc")
	}
	return err
}

// selinux fails if the kernel has no SELinux, or has it disabled: only then is
// there no file system of it.
func (s *setup) selinux() error {
	if err := s.openProc(); err != nil {
		return err
	}
	list, err := s.proc.Read("filesystems")
	if err != nil {
		return err
	}
	if !hasFileSystem(list, "selinuxfs") {
		return errors.New("this host has no SELinux")
	}
	return nil
}

// hasFileSystem looks for a type in the text of /proc/filesystems.
func hasFileSystem(list, name string) bool {
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == name {
			return true
		}
	}
	return false
}

// unlabelled are file systems whose files have labels of their own, which no
// mount option changes, as with runc.
var unlabelled = []string{"proc", "sysfs", "cgroup", "cgroup2", "mqueue"}

// mountLabel is the option that gives all files of a new file system the
// container's label.
func mountLabel(m *specs.Mount, label string) []mount.Option {
	if label == "" || slices.Contains(unlabelled, m.Type) {
		return nil
	}
	return []mount.Option{{Key: "context", Value: label}}
}
