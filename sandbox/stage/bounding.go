//go:build !nodefence_bounding

package stage

import (
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// dropBounding takes away for good what is not in keep.
func dropBounding(keep task.Caps) error { return task.SetBounding(keep) }

func scriptBounding(s *ns.Script, keep task.Caps) error {
	has, err := task.Bounding()
	s.DropBounding(uint64(has &^ keep))
	return err
}
