package main

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// filterLength is the number of instructions of Docker's default profile as
// compiled for amd64 with its 32-bit entries.
const filterLength = 1055

// filter returns a memfd with a seccomp program of the usual length that
// allows everything: the cost of loading counts, not the decisions.
func filter() (*os.File, error) {
	prog := make([]unix.SockFilter, filterLength)
	for i := range prog {
		prog[i] = unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}
	}
	prog[filterLength-1] = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000} // SECCOMP_RET_ALLOW
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, prog); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("filter", 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "filter")
	_, err = f.Write(b.Bytes())
	return f, err
}
