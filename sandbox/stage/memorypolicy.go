package stage

import (
	"fmt"
	"maps"
	"slices"

	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// memoryModes and memoryFlags are include/uapi/linux/mempolicy.h.
var memoryModes = map[specs.MemoryPolicyModeType]int{
	specs.MpolDefault: 0, specs.MpolPreferred: 1, specs.MpolBind: 2, specs.MpolInterleave: 3, specs.MpolLocal: 4,
	specs.MpolPreferredMany: 5, specs.MpolWeightedInterleave: 6,
}

var memoryFlags = map[specs.MemoryPolicyFlagType]int{
	specs.MpolFNumaBalancing: 1 << 13, specs.MpolFRelativeNodes: 1 << 14, specs.MpolFStaticNodes: 1 << 15,
}

// memoryMode translates a policy for the kernel, which knows best what goes
// together.
func memoryMode(p *specs.LinuxMemoryPolicy) (mode int, nodes []int, err error) {
	mode, ok := memoryModes[p.Mode]
	if !ok {
		return 0, nil, invalid("memory policy %q is not one of %v", p.Mode, slices.Sorted(maps.Keys(memoryModes)))
	}
	for _, f := range p.Flags {
		bit, ok := memoryFlags[f]
		if !ok {
			return 0, nil, invalid("memory policy flag %q is not one of %v", f, slices.Sorted(maps.Keys(memoryFlags)))
		}
		mode |= bit
	}
	if nodes, err = numbers(p.Nodes); err != nil {
		return 0, nil, invalid("memory policy nodes: %s", err)
	}
	return mode, nodes, nil
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
