package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// int80 enters the kernel by the gate of 32-bit programs.
func int80(nr, a, b, c uint32) int32

// compat makes the calls of 32-bit programs from a 64-bit one, and those of
// x32.
func compat() {
	const (
		socketcall = 102
		socket     = 359
		keyctl     = 288
		bpf        = 357
	)
	low, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_32BIT)
	if err != nil {
		fmt.Println("mmap", err)
		return
	}
	args := (*[3]uint32)(unsafe.Pointer(&low[0]))
	for _, family := range []uint32{unix.AF_ALG, unix.AF_VSOCK} {
		fmt.Printf("int80:socket(%d) %d\n", family, -int80(socket, family, unix.SOCK_STREAM, 0))
		args[0], args[1] = family, unix.SOCK_STREAM
		fmt.Printf("int80:socketcall(%d) %d\n", family, -int80(socketcall, 1, uint32(uintptr(unsafe.Pointer(args))), 0))
	}
	fmt.Printf("int80:keyctl %d\n", -int80(keyctl, 0, ^uint32(2), 0))
	fmt.Printf("int80:bpf %d\n", -int80(bpf, 0, 0, 0))
	const x32 = 0x40000000
	_, _, e := unix.RawSyscall(x32|unix.SYS_BPF, 0, 0, 0)
	fmt.Printf("x32:bpf %d\n", e)
}
