package task

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Package unix answers who has connected or sent, of whatever family of sockets,
// and its code for that is in every program that asks. Nobody asks here.

// Recvmsg is recvmsg(2) without a name. The error is the number.
func Recvmsg(fd int, data, oob []byte, flags int) (n, oobn, gotFlags int, err error) {
	iov := unix.Iovec{Base: unsafe.SliceData(data)}
	iov.SetLen(len(data))
	m := unix.Msghdr{Iov: &iov, Iovlen: 1, Control: unsafe.SliceData(oob)}
	m.SetControllen(len(oob))
	r, _, e := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&m)), uintptr(flags))
	runtime.KeepAlive(data)
	runtime.KeepAlive(oob)
	if e != 0 {
		return 0, 0, 0, e
	}
	return int(r), int(m.Controllen), int(m.Flags), nil
}

// AcceptFD is accept4(2) without a name. The error is the number.
func AcceptFD(listener, flags int) (int, error) {
	fd, _, e := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, uintptr(flags), 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}
