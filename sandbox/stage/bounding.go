//go:build !nodefence_bounding

package stage

import (
	"sync"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// dropBounding takes away for good what is not in keep.
func dropBounding(keep task.Caps) error { return task.SetBounding(keep) }

// ownBounding is this process's set, which does not change.
var ownBounding = sync.OnceValues(task.Bounding)

func scriptBounding(s *ns.Script, keep task.Caps) error {
	has, err := ownBounding()
	s.DropBounding(uint64(has &^ keep))
	return err
}
