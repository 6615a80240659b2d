package stage

import (
	"fmt"

	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// memoryModes and memoryFlags are include/uapi/linux/mempolicy.h.
var memoryModes = words{
	{"MPOL_DEFAULT", 0},
	{"MPOL_PREFERRED", 1},
	{"MPOL_BIND", 2},
	{"MPOL_INTERLEAVE", 3},
	{"MPOL_LOCAL", 4},
	{"MPOL_PREFERRED_MANY", 5},
	{"MPOL_WEIGHTED_INTERLEAVE", 6},
}

var memoryFlags = words{
	{"MPOL_F_NUMA_BALANCING", 1 << 13}, {"MPOL_F_RELATIVE_NODES", 1 << 14}, {"MPOL_F_STATIC_NODES", 1 << 15},
}

// memoryMode translates a policy for the kernel, which knows best what goes
// together.
func memoryMode(p *specs.LinuxMemoryPolicy) (mode int, nodes []int, err error) {
	n, err := memoryModes.number("memory policy", string(p.Mode))
	if err != nil {
		return 0, nil, err
	}
	for _, f := range p.Flags {
		bit, err := memoryFlags.number("memory policy flag", string(f))
		if err != nil {
			return 0, nil, err
		}
		n |= bit
	}
	if nodes, err = numbers(p.Nodes); err != nil {
		return 0, nil, invalid("memory policy nodes: %s", err)
	}
	return int(n), nodes, nil
}

func (s *setup) memoryPolicy() error {
	p := s.Spec.Linux.MemoryPolicy
	if p == nil {
		return nil
	}
	mode, nodes, err := memoryMode(p)
	if err != nil {
		return err
	}
	if err := task.SetMemoryPolicy(mode, nodes); err != nil {
		return fmt.Errorf("memory policy %s %v %s: %w", p.Mode, p.Flags, p.Nodes, err)
	}
	return nil
}
