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
	{unix.AUDIT_ARCH_I386, []space{{arch: specs.ArchX86, table: i386, limit: 1<<32 - 1, narrow: true}}},
}
