package main

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/berth-engine/berth/kernel/task"
)

const (
	// settled is when the engine has done what a start leaves to do.
	settled = 2 * time.Second
	// look is how often it is seen whether it has something to do.
	look = 3 * time.Second
	// idle is the part of a processor below which it has not.
	idle = 0.02
)

// rest gives memory back whenever the engine has worked and has nothing to do any
// more: what the work needed of heap and program is more than what waiting needs.
func (d *daemon) rest(ctx context.Context) error {
	worked, spent, last := true, time.Duration(0), time.Now()
	for wait := settled; ; wait = look {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		now, at := task.ProcessorTime(), time.Now()
		busy := float64(now-spent) > idle*float64(at.Sub(last)) && wait != settled
		switch {
		case busy:
			worked = true
		case worked:
			debug.FreeOSMemory()
			if err := task.ForgetProgram(); err != nil {
				d.log.Debug("cannot give memory back", "error", err)
			}
			worked, now = false, task.ProcessorTime()
		}
		spent, last = now, at
	}
}
