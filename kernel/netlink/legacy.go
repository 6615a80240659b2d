package netlink

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets and sizes of linux/netfilter_ipv4/ip_tables.h on 64-bit machines.
const (
	soGetInfo    = 64 // IPT_SO_GET_INFO
	soGetEntries = 65 // IPT_SO_GET_ENTRIES

	infoSize       = 84
	infoUnderflow  = 56 // [5]uint32, by hook
	infoSizeField  = 80
	entriesHeader  = 40
	entryTarget    = 88 // uint16: offset of the target
	targetHeader   = 32 // a standard target's verdict follows
	verdictDropped = -1 // -NF_DROP - 1
)

// Hooks of the filter table.
const (
	hookInput   = 1
	hookForward = 2
)

// LegacyDrops tells whether the legacy iptables of the calling thread's network
// namespace (ip_tables, which nftables does not show) drop packets to the host,
// or forwarded ones, by policy. Nothing is loaded into the kernel for the
// question; where it cannot be answered, the answer is no.
func LegacyDrops() (input, forward bool) {
	names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	if err != nil || !slices.Contains(strings.Fields(string(names)), "filter") {
		return false, false
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return false, false
	}
	defer unix.Close(fd)
	info := make([]byte, infoSize)
	copy(info, "filter")
	if !getsockopt(fd, soGetInfo, info) {
		return false, false
	}
	size := binary.NativeEndian.Uint32(info[infoSizeField:])
	if size > 64<<20 {
		return false, false
	}
	entries := make([]byte, entriesHeader+size)
	copy(entries, "filter")
	binary.NativeEndian.PutUint32(entries[32:], size)
	if !getsockopt(fd, soGetEntries, entries) {
		return false, false
	}
	drops := func(hook int) bool {
		at := binary.NativeEndian.Uint32(info[infoUnderflow+4*hook:])
		return policyDrops(entries[entriesHeader:], at)
	}
	return drops(hookInput), drops(hookForward)
}

// policyDrops reads the verdict of the entry at an offset.
func policyDrops(table []byte, at uint32) bool {
	if uint64(at)+entryTarget+2 > uint64(len(table)) {
		return false
	}
	target := at + uint32(binary.NativeEndian.Uint16(table[at+entryTarget:]))
	if uint64(target)+targetHeader+4 > uint64(len(table)) {
		return false
	}
	if name := table[target+2 : target+31]; len(bytes.TrimRight(name, "\x00")) != 0 {
		return false // not a standard target
	}
	return int32(binary.NativeEndian.Uint32(table[target+targetHeader:])) == verdictDropped
}

func getsockopt(fd, name int, buf []byte) bool {
	n := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_IP, uintptr(name),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	return errno == 0
}
