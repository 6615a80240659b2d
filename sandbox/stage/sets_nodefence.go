//go:build nodefence_sets

package stage

import "github.com/berth-engine/berth/kernel/task"

// setCaps lets programs inherit all that they may have.
func setCaps(effective, permitted, _, _ task.Caps) error {
	return task.SetCaps(effective, permitted, permitted)
}
