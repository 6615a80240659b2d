package container

import (
	"context"
	"errors"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/sandbox"
)

// maxPending bounds the clients that may wait for one container to start: each
// of them holds a connection.
const maxPending = 128

var errNotStarted = errors.New("the container was not started")

// attachments connect clients with what runs. A client may come before the
// start: it is connected between the making of the sandbox and the execution
// of the program, so that it sees the first byte.
type attachments struct {
	mu      sync.Mutex
	box     *sandbox.Sandbox
	done    chan struct{} // closed at the end of the run; nil: nothing runs
	pending map[*pending]struct{}
}

type pending struct {
	opts  sandbox.AttachOptions
	ready chan attached // one value
}

type attached struct {
	stream *sandbox.Stream
	err    error
}

// current is what runs, or nil.
func (a *attachments) current() *sandbox.Sandbox {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.box
}

// ended is closed when nothing runs.
func (a *attachments) ended() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done != nil {
		return a.done
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}

// open connects those who wait, and later ones directly.
func (a *attachments) open(ctx context.Context, box *sandbox.Sandbox) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.box, a.done = box, make(chan struct{})
	for p := range a.pending {
		stream, err := box.Attach(ctx, p.opts)
		p.ready <- attached{stream, err}
	}
	a.pending = nil
}

// close ends a run. Clients that waited for a start that failed are sent away;
// the streams of others end by themselves.
func (a *attachments) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done != nil {
		close(a.done)
	}
	a.box, a.done = nil, nil
	a.dismissLocked()
}

// dismiss sends away the clients that wait for a start.
func (a *attachments) dismiss() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dismissLocked()
}

func (a *attachments) dismissLocked() {
	for p := range a.pending {
		p.ready <- attached{err: errNotStarted}
	}
	a.pending = nil
}

// join connects a client now, or registers it for the next start.
func (a *attachments) join(ctx context.Context, o sandbox.AttachOptions) (*pending, error) {
	p := &pending{opts: o, ready: make(chan attached, 1)}
	a.mu.Lock()
	box := a.box
	if box == nil {
		defer a.mu.Unlock()
		if len(a.pending) >= maxPending {
			return nil, fail(errdefs.ErrUnavailable, "too many clients wait for the container to start")
		}
		if a.pending == nil {
			a.pending = map[*pending]struct{}{}
		}
		a.pending[p] = struct{}{}
		return p, nil
	}
	a.mu.Unlock()
	stream, err := box.Attach(ctx, o)
	p.ready <- attached{stream, err}
	return p, nil
}

// leave takes back a join that nobody wants any more.
func (a *attachments) leave(p *pending) {
	a.mu.Lock()
	delete(a.pending, p)
	a.mu.Unlock()
	select {
	case got := <-p.ready:
		if got.stream != nil {
			_ = got.stream.Close() // unused
		}
	default:
	}
}
