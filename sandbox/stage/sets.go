//go:build !nodefence_sets

package stage

import (
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// setCaps makes the sets of capabilities exactly these (CVE-2022-24769).
func setCaps(effective, permitted, inheritable, ambient task.Caps) error {
	if err := task.SetCaps(effective, permitted, inheritable); err != nil {
		return err
	}
	return task.SetAmbient(ambient)
}

func scriptCaps(s *ns.Script, c *capSets) {
	s.SetCaps(uint64(c.effective), uint64(c.permitted), uint64(c.inheritable), uint64(c.ambient))
}
