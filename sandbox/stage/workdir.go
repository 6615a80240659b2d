//go:build !nodefence_workdir

package stage

import (
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// inside refuses a working directory that is not below the root
// (CVE-2024-21626).
func inside() error { return task.WorkingDirInRoot() }

func scriptInside(s *ns.Script) { s.WorkingDirInRoot() }
