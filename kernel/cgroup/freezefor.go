package cgroup

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/cgroups"
)

// FreezeByV1 has the freezer of v1 hold a frozen group that the unified
// hierarchy's holds, on hosts with both: criu knows only the former there, and
// would wait for ever for a process that the other one holds. back makes it what
// it was. No process runs meanwhile. With one freezer there is nothing to do.
func (g *Group) FreezeByV1(ctx context.Context) (back func() error, err error) {
	unified, both := g.unifiedFreezer()
	v1, has := g.dirs["freezer"]
	if !both || !has {
		return func() error { return nil }, nil
	}
	back = func() error {
		// Whoever v1 lets go is held before it gets anywhere.
		err := write(unified, "cgroup.freeze", "1")
		if err == nil {
			err = write(v1, "freezer.state", string(cgroups.Thawed))
		}
		if err == nil {
			err = freezeUnified(context.WithoutCancel(ctx), unified)
		}
		if err != nil && !gone(err) {
			return fmt.Errorf("freeze cgroup %s again: %w", g.name, err)
		}
		return nil
	}
	if err = freezeV1(ctx, v1); err == nil {
		err = write(unified, "cgroup.freeze", "0")
	}
	if err != nil {
		return nil, fmt.Errorf("freeze cgroup %s by v1: %w", g.name, errors.Join(err, back()))
	}
	return back, nil
}
