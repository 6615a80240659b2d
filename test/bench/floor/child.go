package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Descriptors that the parent hands to the child.
const (
	fdSync = 3 + iota
	fdRoot
	fdNet
	fdFilter
	fdStamps
)

var masked = []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"}

var readonly = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// child is process 1 until it executes /bin/true. It returns only on failure.
func child(rootfs string) error {
	var b [1]byte
	if _, err := unix.Read(fdSync, b[:]); err != nil {
		return err
	}
	for _, step := range []struct {
		phase int
		do    func() error
	}{
		{phaseClone, func() error { return nil }}, // until here
		{phaseNamespaces, joinOthers},
		{phaseRoot, func() error { return attach(rootfs) }},
		{phaseMounts, func() error { return fill(rootfs) }},
		{phaseDevices, func() error { return devices(rootfs) }},
		{phaseEtc, func() error { return etc(rootfs) }},
		{phasePivot, func() error { return pivot(rootfs) }},
		{phaseHide, hide},
		{phaseSeccomp, restrict},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", phaseNames[step.phase], err)
		}
		if err := tell(step.phase); err != nil {
			return err
		}
	}
	return unix.Exec("/bin/true", []string{"true"}, nil)
}

func joinOthers() error {
	if err := unix.Setns(fdNet, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	return unix.Sethostname([]byte("floor"))
}

func attach(rootfs string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private: %w", err)
	}
	return unix.MoveMount(fdRoot, "", unix.AT_FDCWD, rootfs, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// fill mounts what a default container has.
func fill(root string) error {
	const flags = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	for _, m := range []struct {
		dir, kind string
		flags     uintptr
		data      string
	}{
		{"/proc", "proc", flags, ""},
		{"/dev", "tmpfs", unix.MS_NOSUID, "mode=755,size=65536k"},
		{"/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"},
		{"/dev/shm", "tmpfs", flags, "mode=1777,size=65536k"},
		{"/dev/mqueue", "mqueue", flags, ""},
		{"/sys", "sysfs", flags | unix.MS_RDONLY, ""},
		{"/sys/fs/cgroup", "tmpfs", flags, "mode=755"},
	} {
		if err := os.MkdirAll(root+m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, root+m.dir, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return nil
}

// devices makes what is in /dev.
func devices(root string) error {
	for name, dev := range map[string]uint64{
		"null": unix.Mkdev(1, 3), "zero": unix.Mkdev(1, 5), "full": unix.Mkdev(1, 7),
		"random": unix.Mkdev(1, 8), "urandom": unix.Mkdev(1, 9), "tty": unix.Mkdev(5, 0),
	} {
		if err := unix.Mknod(root+"/dev/"+name, unix.S_IFCHR|0o666, int(dev)); err != nil {
			return fmt.Errorf("mknod %s: %w", name, err)
		}
	}
	for name, to := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(to, root+"/dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

// etc binds files as hosts, hostname and resolv.conf are.
func etc(root string) error {
	for _, name := range []string{"/a", "/b", "/c"} {
		if err := os.WriteFile(root+name, nil, 0o644); err != nil {
			return err
		}
		if err := unix.Mount(root+"/bin/true", root+name, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// hide covers the masked paths and makes others read-only.
func hide() error {
	for _, path := range masked {
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil {
			continue // this kernel does not have it
		}
		err := error(nil)
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			err = unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "size=0")
		} else {
			err = unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
		}
		if err != nil {
			return fmt.Errorf("mask %s: %w", path, err)
		}
	}
	for _, path := range readonly {
		if unix.Access(path, unix.F_OK) != nil {
			continue
		}
		if err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s: %w", path, err)
		}
		flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV)
		if err := unix.Mount(path, path, "", flags, ""); err != nil {
			return fmt.Errorf("read-only %s: %w", path, err)
		}
	}
	return nil
}

// restrict drops capabilities to Docker's default set and loads the filter.
func restrict() error {
	const keep = 0xa80425fb
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if keep&(1<<c) == 0 {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return err
			}
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fdFilter, &st); err != nil {
		return err
	}
	prog := make([]unix.SockFilter, st.Size/8)
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&prog[0])), st.Size)
	if _, err := unix.Pread(fdFilter, buf, 0); err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&fprog)), 0, 0); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	return unix.Capset(&header, &data[0])
}
