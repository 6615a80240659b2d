//go:build !nodefence_undumpable

package stage

import (
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// becomeUndumpable keeps other processes of the pid namespace from tracing the
// stage and from opening what it has open (CVE-2016-9962).
func becomeUndumpable() error { return task.Undumpable() }

// Whoever changes its user may be dumpable again.
func scriptUndumpable(s *ns.Script) { s.Undumpable() }
