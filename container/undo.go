package container

import (
	"context"
	"slices"
	"time"
)

// undoTime bounds how long cleaning up after a failure may take.
const undoTime = 30 * time.Second

// undo collects what takes back the steps done so far, the last first.
type undo struct {
	steps []func(context.Context)
}

func (u *undo) push(f func(context.Context)) { u.steps = append(u.steps, f) }

// run takes everything back. It works when ctx has ended, too: that may be why
// it is called.
func (u *undo) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	for _, step := range slices.Backward(u.steps) {
		step(ctx)
	}
	u.steps = nil
}

// keep forgets the steps: all went well.
func (u *undo) keep() { u.steps = nil }
