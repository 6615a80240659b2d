package seccomp

import (
	"cmp"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// table is sorted by name. It is plain data: a map would be filled at every
// start of the daemon.
type table []struct {
	name   string
	number uint32
}

func (t table) lookup(name string) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(t, name, func(e struct {
		name   string
		number uint32
	}, name string,
	) int {
		return cmp.Compare(e.name, name)
	})
	if !ok {
		return 0, false
	}
	return t[i].number, true
}

// space is a range of system call numbers with one meaning.
type space struct {
	arch  specs.Arch
	table table
	// first and limit bound the numbers; those above limit are not system
	// calls of the future but something else (arm's private calls).
	first, limit uint32
	narrow       bool // arguments have 32 bits
	several      []multiplexer
}

// abi is what one value of seccomp_data.arch stands for.
type abi struct {
	audit  uint32
	spaces []space // ascending
}

// known are all architectures that a profile may name; those of other
// machines cannot occur here and are passed over.
var known = []specs.Arch{
	specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS, specs.ArchMIPS64,
	specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64,
	specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64,
	specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
}
