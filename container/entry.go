package container

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/sandbox"
)

// entry is one container in memory.
type entry struct {
	id string

	// lock is held by whoever changes the container.
	lock chan struct{}
	// rec is the current record; a record is never changed, only replaced by
	// the holder of lock.
	rec atomic.Pointer[Record]

	// coming adopts the container, which runs since a daemon before this one, once;
	// nil: it is adopted, or there is nothing to adopt. See adoptLater.
	coming atomic.Pointer[func()]

	waits   waiters
	streams attachments
	checkup atomic.Pointer[checkup] // of the current or last run; nil: none
	copies  copies
	execs   execWatches
	// telling is held from before a signal is sent until it was told of, so that the
	// end that it brings is told of later.
	telling sync.Mutex

	// Guarded by lock.
	image    *image.Image  // nil: to be resolved by the record's ID
	held     []func()      // released when the container is removed: image, volumes
	live     *live         // nil: nothing runs
	pause    time.Duration // of the restart policy, doubled at each restart
	cancel   func()        // ends the wait for a restart; nil: none
	settled  chan struct{} // closed when the exit of the current run was dealt with
	shipping *shipping     // the log of the current or last run, if a driver takes it
	network  *os.File      // the namespace that the next run gets; nil: a new one
	edited   chan<- error  // gets what became of a recreate; nil: nobody waits
	gone     bool          // removed: the directory does not exist any more
}

// live is what exists while a container runs.
type live struct {
	box     *sandbox.Sandbox
	release []func()   // the image's directories
	user    *spec.User // who process 1 runs as; nil: a daemon before this one looked it up
	watched bool       // it is being waited for until it listens; under the lock
}

func newEntry(r *Record) *entry {
	e := &entry{id: r.ID, lock: make(chan struct{}, 1)}
	e.rec.Store(r)
	return e
}

// acquire takes the container's lock.
func (e *entry) acquire(ctx context.Context) error {
	select {
	case e.lock <- struct{}{}:
		return nil
	default:
	}
	select {
	case e.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *entry) release() { <-e.lock }

// during calls f with the container's lock, if the run is still that of box: it may
// have ended before, or the engine ends, and the next one looks again.
func (e *entry) during(ctx context.Context, box *sandbox.Sandbox, f func()) {
	if err := e.acquire(ctx); err != nil {
		return
	}
	defer e.release()
	if e.live != nil && e.live.box == box {
		f()
	}
}

func (e *entry) record() *Record { return e.rec.Load() }

// stopRestart ends a wait for the next restart. The caller holds the lock.
func (e *entry) stopRestart() {
	if e.cancel != nil {
		e.cancel()
		e.cancel = nil
	}
}
