package container

import (
	"context"
	"sync"
)

// tasks starts the background work of a Service and waits for it. What is
// asked for before run began is kept and started then.
type tasks struct {
	mu     sync.Mutex
	queue  []func(context.Context)
	launch func(func(context.Context)) // nil: not running
	ended  bool
}

// do starts f on a goroutine that run waits for. f must return soon after its
// context ends. After the end f is dropped (false): Restore takes up what was
// open.
func (t *tasks) do(f func(context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended:
		return false
	case t.launch == nil:
		t.queue = append(t.queue, f)
	default:
		t.launch(f)
	}
	return true
}

// run starts what waits and what comes, until ctx ends; then it waits for all.
func (t *tasks) run(ctx context.Context) {
	var wg sync.WaitGroup
	t.mu.Lock()
	t.launch = func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }
	for _, f := range t.queue {
		t.launch(f)
	}
	t.queue = nil
	t.mu.Unlock()

	<-ctx.Done()

	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	wg.Wait()
}
