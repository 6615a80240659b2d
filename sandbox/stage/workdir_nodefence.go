//go:build nodefence_workdir

package stage

import "github.com/berth-engine/berth/kernel/ns"

func inside() error { return nil }

func scriptInside(*ns.Script) {}
