package seccomp

import (
	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const native = specs.ArchX86_64

// x32 shares the architecture's value with x86_64 and is told apart by a bit
// in the number.
const x32Bit = 0x40000000

var abis = []abi{
	{unix.AUDIT_ARCH_X86_64, []space{
		{arch: specs.ArchX86_64, table: x8664, limit: x32Bit - 1},
		{arch: specs.ArchX32, table: x32, first: x32Bit, limit: 1<<32 - 1, narrow: true},
	}},
	{unix.AUDIT_ARCH_I386, []space{{arch: specs.ArchX86, table: i386, limit: 1<<32 - 1, narrow: true, several: multiplexers}}},
}

// multiplexers of i386 (include/uapi/linux/net.h, include/uapi/linux/ipc.h). The
// high half of ipc's number is a version.
var multiplexers = []multiplexer{
	{"socketcall", 1<<32 - 1, []member{
		{1, "socket", ""},
		{2, "bind", ""},
		{3, "connect", ""},
		{4, "listen", ""},
		{5, "accept", "accept4"},
		{6, "getsockname", ""},
		{7, "getpeername", ""},
		{8, "socketpair", ""},
		{9, "send", "sendto"},
		{10, "recv", "recvfrom"},
		{11, "sendto", ""},
		{12, "recvfrom", ""},
		{13, "shutdown", ""},
		{14, "setsockopt", ""},
		{15, "getsockopt", ""},
		{16, "sendmsg", ""},
		{17, "recvmsg", ""},
		{18, "accept4", ""},
		{19, "recvmmsg", ""},
		{20, "sendmmsg", ""},
	}},
	{"ipc", 0xffff, []member{
		{1, "semop", "semtimedop"},
		{2, "semget", ""},
		{3, "semctl", ""},
		{4, "semtimedop", ""},
		{11, "msgsnd", ""},
		{12, "msgrcv", ""},
		{13, "msgget", ""},
		{14, "msgctl", ""},
		{21, "shmat", ""},
		{22, "shmdt", ""},
		{23, "shmget", ""},
		{24, "shmctl", ""},
	}},
}
