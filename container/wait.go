package container

import (
	"context"
	"sync"

	"github.com/moby/moby/api/types/container"
)

// waiters are the clients that wait for a container to end or to be removed.
type waiters struct {
	mu   sync.Mutex
	list map[chan container.WaitResponse]container.WaitCondition
}

// add registers a client until ctx ends. The channel gets one value.
func (w *waiters) add(ctx context.Context, cond container.WaitCondition) <-chan container.WaitResponse {
	ch := make(chan container.WaitResponse, 1)
	w.mu.Lock()
	if w.list == nil {
		w.list = map[chan container.WaitResponse]container.WaitCondition{}
	}
	w.list[ch] = cond
	w.mu.Unlock()
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		delete(w.list, ch)
		w.mu.Unlock()
	})
	return ch
}

// wake answers those whose condition is one of conds.
func (w *waiters) wake(resp container.WaitResponse, conds ...container.WaitCondition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch, cond := range w.list {
		for _, c := range conds {
			if c == cond {
				ch <- resp
				delete(w.list, ch)
			}
		}
	}
}

// Wait tells when the container does not run ("not-running", the default),
// ends the next time ("next-exit") or is gone ("removed"). When it returns, the
// client is registered: whatever happens later is seen.
func (s *Service) Wait(ctx context.Context, ref string, cond container.WaitCondition) (<-chan container.WaitResponse, error) {
	switch cond {
	case "":
		cond = container.WaitConditionNotRunning
	case container.WaitConditionNotRunning, container.WaitConditionNextExit, container.WaitConditionRemoved:
	default:
		return nil, invalid("invalid condition: %q", cond)
	}
	e, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	// Registered first, looked second: nothing falls in between.
	ch := e.waits.add(ctx, cond)
	r := e.record()
	if idle := !r.State.live() && r.State != Starting && r.State != Restarting; idle && cond == container.WaitConditionNotRunning {
		e.waits.wake(exitResponse(r), container.WaitConditionNotRunning)
	}
	if s.index.get(e.id) == nil {
		e.waits.wake(exitResponse(r), cond)
	}
	return ch, nil
}

func exitResponse(r *Record) container.WaitResponse {
	return container.WaitResponse{StatusCode: int64(r.ExitCode)}
}

// endOfRun are the conditions that the end of a run meets.
var endOfRun = []container.WaitCondition{container.WaitConditionNotRunning, container.WaitConditionNextExit}
