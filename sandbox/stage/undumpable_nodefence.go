//go:build nodefence_undumpable

package stage

import "github.com/berth-engine/berth/kernel/ns"

func becomeUndumpable() error { return nil }

func scriptUndumpable(*ns.Script) {}
