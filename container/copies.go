package container

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/kernel/mount"
)

// Those who copy hear these when they are sent away.
var (
	errRemoved = errors.New("the container is being removed")
	errStalled = errors.New("the container is being started, and the copy of its files has stood still")
)

// stallTime is how long a copy may stand still while a start waits for it.
const stallTime = 10 * time.Second

// copies are the uses of one container's root file system by who copies files.
// They order copies against starts: an overlay must not be mounted while the
// mount of an earlier run, or that of a stopped container, is still in use. A
// start waits for copies; a removal sends them away.
type copies struct {
	mu   sync.Mutex
	open map[*copying]struct{}
	// still is the root of the container that does not run, shared by those
	// who copy.
	still *stillRoot
	idle  chan struct{} // closed when the last copy ends; nil: there is none
}

// stillRoot is the mounted root file system of a container that does not run.
type stillRoot struct {
	view *mount.View
	undo undo
	uses int
}

// copying is one use.
type copying struct {
	view   *mount.View
	close  func()
	cancel context.CancelCauseFunc
	moved  atomic.Int64 // when something was last copied, in Unix nanoseconds
}

// add registers a use of view that ends with close. The context that it
// returns ends when the copy is sent away.
func (c *copies) add(ctx context.Context, view *mount.View, now time.Time, closeView func()) (context.Context, *copying) {
	ctx, cancel := context.WithCancelCause(ctx)
	use := &copying{view: view, cancel: cancel, close: closeView}
	use.moved.Store(now.UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*copying]struct{}{}
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	c.open[use] = struct{}{}
	return ctx, use
}

// end ends a use. What it used is closed before anybody who waits goes on.
func (c *copies) end(use *copying) {
	use.cancel(nil)
	use.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, use)
	if len(c.open) == 0 {
		close(c.idle)
		c.idle = nil
	}
}

// drain waits until nobody copies. A copy that stands still is sent away, so
// that a client that does not read cannot keep a container from starting. The
// caller holds the container's lock, so that none begins meanwhile.
func (c *copies) drain(k clock) {
	for {
		c.mu.Lock()
		idle := c.idle
		c.mu.Unlock()
		if idle == nil {
			return
		}
		select {
		case <-idle:
		case <-k.after(time.Second):
			c.send(errStalled, k.now().Add(-stallTime))
		}
	}
}

// dismiss sends all copies away and waits for their end. The caller holds the
// container's lock.
func (c *copies) dismiss() {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle != nil {
		c.send(errRemoved, time.Time{})
		<-idle
	}
}

// send ends the copies that have not moved since a time; all, for the zero
// time.
func (c *copies) send(why error, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for use := range c.open {
		if since.IsZero() || use.moved.Load() < since.UnixNano() {
			use.cancel(why)
		}
	}
}

// share uses the root of a container that does not run; mount makes it if
// nobody uses it yet. The caller holds the container's lock.
func (c *copies) share(mountRoot func(*undo) (*mount.View, error)) (*mount.View, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.still == nil {
		still := &stillRoot{}
		view, err := mountRoot(&still.undo)
		if err != nil {
			still.undo.run(context.Background())
			return nil, nil, err
		}
		still.view, c.still = view, still
	}
	still := c.still
	still.uses++
	return still.view, sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if still.uses--; still.uses == 0 {
			c.still = nil
			still.undo.run(context.Background())
		}
	}), nil
}
