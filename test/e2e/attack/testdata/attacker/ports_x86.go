//go:build amd64 || 386

package main

import "golang.org/x/sys/unix"

// ports are the calls that give access to the machine's I/O ports.
func ports() []call {
	return []call{
		{"iopl", unix.SYS_IOPL, [3]uintptr{3}},
		{"ioperm", unix.SYS_IOPERM, [3]uintptr{0, 8, 1}},
	}
}
