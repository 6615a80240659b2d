package build

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
)

var errCancelled = errors.New("the build was cancelled")

// Cancel ends the build with that ID, if it is running.
func (e *Engine) Cancel(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if cancel := e.running[id]; cancel != nil {
		cancel(errCancelled)
	}
}

// remember makes a build known by its ID until forget is called.
func (e *Engine) remember(id string, cancel context.CancelCauseFunc) (forget func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running[id] != nil {
		return nil, fmt.Errorf("a build with the ID %q is running: %w", id, errdefs.ErrConflict)
	}
	e.running[id] = cancel
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.running, id)
	}, nil
}
