//go:build nodefence_sets

package stage

import (
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// setCaps lets programs inherit all that they may have.
func setCaps(effective, permitted, _, _ task.Caps) error {
	return task.SetCaps(effective, permitted, permitted)
}

func scriptCaps(s *ns.Script, c *capSets) {
	s.SetCaps(uint64(c.effective), uint64(c.permitted), uint64(c.permitted), 0)
}
