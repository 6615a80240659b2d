package seccomp

import (
	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const native = specs.ArchAARCH64

var abis = []abi{
	{unix.AUDIT_ARCH_AARCH64, []space{{arch: specs.ArchAARCH64, table: aarch64, limit: 1<<32 - 1}}},
	{unix.AUDIT_ARCH_ARM, []space{{arch: specs.ArchARM, table: arm, limit: 0x0effff, narrow: true}}},
}
