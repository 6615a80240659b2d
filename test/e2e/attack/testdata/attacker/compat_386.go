package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// compat makes sockets by the call that hides its arguments behind a pointer,
// where a filter cannot see them.
func compat() {
	for _, family := range []uint32{unix.AF_ALG, unix.AF_VSOCK} {
		args := [3]uint32{family, unix.SOCK_STREAM, 0}
		_, _, e := unix.RawSyscall(unix.SYS_SOCKETCALL, 1, uintptr(unsafe.Pointer(&args[0])), 0)
		fmt.Printf("socketcall(%d) %d\n", family, e)
	}
}
