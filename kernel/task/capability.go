package task

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// names of the capabilities, by number (include/uapi/linux/capability.h).
var names = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
	"IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
	"WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// Caps is a set of capabilities, bit n for capability n.
type Caps uint64

// ParseCaps reads names like "CAP_CHOWN". Names that no known kernel has are
// returned, too; they cannot be granted.
func ParseCaps(list []string) (set Caps, unknown []string) {
next:
	for _, name := range list {
		for n, known := range names {
			if short, ok := strings.CutPrefix(name, "CAP_"); ok && short == known {
				set |= 1 << n
				continue next
			}
		}
		unknown = append(unknown, name)
	}
	return set, unknown
}

// CurrentCaps returns what the calling thread may use and what it may obtain.
func CurrentCaps() (effective, permitted Caps, err error) {
	data, err := capget()
	return Caps(data[0].Effective) | Caps(data[1].Effective)<<32,
		Caps(data[0].Permitted) | Caps(data[1].Permitted)<<32, err
}

func capget() (data [2]unix.CapUserData, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return data, fmt.Errorf("capget: %w", err)
	}
	return data, nil
}

// SetCaps sets effective, permitted and inheritable capabilities.
func SetCaps(effective, permitted, inheritable Caps) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		data[i] = unix.CapUserData{
			Effective:   uint32(effective >> (32 * i)),
			Permitted:   uint32(permitted >> (32 * i)),
			Inheritable: uint32(inheritable >> (32 * i)),
		}
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}

// SetBounding drops from the bounding set what is not in keep: no program
// executed later can obtain it. It needs CAP_SETPCAP.
func SetBounding(keep Caps) error {
	has, err := Bounding()
	if err != nil {
		return err
	}
	for n := range 64 {
		if has&^keep&(1<<n) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", n, err)
		}
	}
	return nil
}

// Bounding returns the calling thread's bounding set.
func Bounding() (set Caps, err error) {
	for n := range 64 {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // past the last capability of this kernel
		}
		if err != nil {
			return 0, fmt.Errorf("read capability %d of the bounding set: %w", n, err)
		}
		set |= Caps(has) << n
	}
	return set, nil
}

// SetAmbient makes the ambient set exactly this; each must be permitted and
// inheritable.
func SetAmbient(set Caps) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	for n := range 64 {
		if set&(1<<n) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(n), 0, 0); err != nil {
			return fmt.Errorf("raise ambient capability %d: %w", n, err)
		}
	}
	return nil
}

// KeepCaps says whether permitted capabilities survive SetUser.
func KeepCaps(keep bool) error {
	var v uintptr
	if keep {
		v = 1
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, v, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	return nil
}

// KnownCaps lists the names of all capabilities.
func KnownCaps() []string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = "CAP_" + n
	}
	return list
}
