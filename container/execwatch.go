package container

import (
	"sync"
	"time"
)

// execNews bounds how long the news of a container's end waits for those of its
// execs, which the monitor tells first.
const execNews = 2 * time.Second

// execWatches are the watchers of one container's execs that have not told of
// the end yet.
type execWatches struct {
	mu   sync.Mutex
	open map[chan struct{}]struct{}
}

// begin counts one more; it calls told when it has said all that it will.
func (w *execWatches) begin() (told func()) {
	ch := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[chan struct{}]struct{}{}
	}
	w.open[ch] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, ch)
		close(ch)
	}
}

// await waits for those that are there now, so that exec_die comes before die.
func (w *execWatches) await(after func(time.Duration) <-chan time.Time) {
	w.mu.Lock()
	var list []chan struct{}
	for ch := range w.open {
		list = append(list, ch)
	}
	w.mu.Unlock()
	if len(list) == 0 {
		return
	}
	late := after(execNews)
	for _, ch := range list {
		select {
		case <-ch:
		case <-late:
			return
		}
	}
}
