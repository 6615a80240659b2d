package main

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A call is one that the default filter must not let through.
type call struct {
	name string
	nr   uintptr
	args [3]uintptr
}

// hostile are calls by which kernels fell, or may.
func hostile() []call {
	var zero [128]byte
	p := uintptr(unsafe.Pointer(&zero[0]))
	return []call{
		{"socket(AF_ALG)", unix.SYS_SOCKET, [3]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}},
		{"socket(AF_VSOCK)", unix.SYS_SOCKET, [3]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM, 0}},
		{"bpf", unix.SYS_BPF, [3]uintptr{0, p, 128}},
		{"userfaultfd", unix.SYS_USERFAULTFD, [3]uintptr{1}},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [3]uintptr{1, p}},
		{"io_uring_enter", unix.SYS_IO_URING_ENTER, [3]uintptr{^uintptr(0)}},
		{"io_uring_register", unix.SYS_IO_URING_REGISTER, [3]uintptr{^uintptr(0)}},
		{"keyctl", unix.SYS_KEYCTL, [3]uintptr{0, ^uintptr(2)}},
		{"add_key", unix.SYS_ADD_KEY, [3]uintptr{p, p}},
		{"request_key", unix.SYS_REQUEST_KEY, [3]uintptr{p, p}},
		{"unshare(NEWUSER)", unix.SYS_UNSHARE, [3]uintptr{unix.CLONE_NEWUSER}},
		{"unshare(NEWNS)", unix.SYS_UNSHARE, [3]uintptr{unix.CLONE_NEWNS}},
		{"clone(NEWUSER)", unix.SYS_CLONE, [3]uintptr{unix.CLONE_NEWUSER | uintptr(unix.SIGCHLD)}},
		{"clone3", unix.SYS_CLONE3, [3]uintptr{p, 64}},
		{"setns", unix.SYS_SETNS, [3]uintptr{^uintptr(0)}},
		{"mount", unix.SYS_MOUNT, [3]uintptr{p, p, p}},
		{"umount2", unix.SYS_UMOUNT2, [3]uintptr{p}},
		{"open_tree", unix.SYS_OPEN_TREE, [3]uintptr{^uintptr(0), p}},
		{"move_mount", unix.SYS_MOVE_MOUNT, [3]uintptr{^uintptr(0), p}},
		{"fsopen", unix.SYS_FSOPEN, [3]uintptr{p}},
		{"mount_setattr", unix.SYS_MOUNT_SETATTR, [3]uintptr{^uintptr(0), p}},
		{"pivot_root", unix.SYS_PIVOT_ROOT, [3]uintptr{p, p}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [3]uintptr{^uintptr(0), p}},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [3]uintptr{p}},
		{"init_module", unix.SYS_INIT_MODULE, [3]uintptr{p}},
		{"finit_module", unix.SYS_FINIT_MODULE, [3]uintptr{^uintptr(0)}},
		{"delete_module", unix.SYS_DELETE_MODULE, [3]uintptr{p}},
		{"kexec_load", unix.SYS_KEXEC_LOAD, [3]uintptr{}},
		{"reboot", unix.SYS_REBOOT, [3]uintptr{}},
		{"swapon", unix.SYS_SWAPON, [3]uintptr{p}},
		{"acct", unix.SYS_ACCT, [3]uintptr{p}},
		{"settimeofday", unix.SYS_SETTIMEOFDAY, [3]uintptr{p}},
		{"clock_settime", unix.SYS_CLOCK_SETTIME, [3]uintptr{0, p}},
		{"process_madvise", unix.SYS_PROCESS_MADVISE, [3]uintptr{^uintptr(0)}},
		{"kcmp", unix.SYS_KCMP, [3]uintptr{1, 1}},
		{"quotactl", unix.SYS_QUOTACTL, [3]uintptr{0, p}},
		{"fanotify_init", unix.SYS_FANOTIFY_INIT, [3]uintptr{}},
		{"syslog", unix.SYS_SYSLOG, [3]uintptr{2, p, 16}},
		{"vhangup", unix.SYS_VHANGUP, [3]uintptr{}},
		{"setdomainname", unix.SYS_SETDOMAINNAME, [3]uintptr{p, 1}},
		{"unknown call", 4000, [3]uintptr{}},
	}
}

// calls prints the error number of every hostile call: 1 and 38 say that the
// filter (or a missing capability) has stopped it.
func calls() {
	runtime.LockOSThread()
	for _, c := range append(hostile(), ports()...) {
		_, _, e := unix.RawSyscall(c.nr, c.args[0], c.args[1], c.args[2])
		fmt.Printf("%s %d\n", c.name, e)
	}
	compat()
}
