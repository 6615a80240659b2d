package exec

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// A Process is what an instance runs as; *sandbox.Process is the engine's.
type Process interface {
	Signal(ctx context.Context, sig syscall.Signal) error
	Resize(ctx context.Context, rows, cols uint16) error
}

// An Instance is one exec. Its exported fields do not change.
type Instance struct {
	ID          string
	ContainerID string
	Run         uint64 // of the container: it does not outlive that
	Request     *container.ExecCreateRequest
	Keys        []byte // that detach; nil: none

	mu      sync.Mutex
	claimed bool // somebody starts it, or has
	pid     int
	process Process // nil: not yet, or never
	code    *int    // nil: it has not ended
	ended   time.Time

	started chan struct{} // closed when process is set, or it never will be
	done    chan struct{} // closed when code is set
}

// New makes an instance that was not started.
func New(id, containerID string, run uint64, request *container.ExecCreateRequest, keys []byte) *Instance {
	return &Instance{
		ID: id, ContainerID: containerID, Run: run, Request: request, Keys: keys,
		started: make(chan struct{}), done: make(chan struct{}),
	}
}

// Claim is called by who is about to start it. The errors are conflicts, in
// Docker's words.
func (i *Instance) Claim() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.code != nil:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Error: Exec command %s has already run", i.ID))
	case i.claimed:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Error: Exec command %s is already running", i.ID))
	}
	i.claimed = true
	return nil
}

// Unclaim takes a Claim back after which nothing was started.
func (i *Instance) Unclaim() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.claimed = false
}

// Started notes the process. pid is 0 if only the process knows (Pid() int). A
// second call says that it is another one.
func (i *Instance) Started(p Process, pid int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.process == nil {
		close(i.started)
	}
	i.claimed, i.process, i.pid = true, p, pid
}

// Ended notes the exit code, also of one that could not be started.
func (i *Instance) Ended(code int, at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.code != nil {
		return
	}
	if i.process == nil {
		close(i.started)
	}
	i.claimed, i.code, i.ended = true, &code, at
	close(i.done)
}

// Done is closed when it has ended.
func (i *Instance) Done() <-chan struct{} { return i.done }

// AwaitStart waits until it was started. The process is nil if it could not
// be, or has ended.
func (i *Instance) AwaitStart(ctx context.Context) (Process, error) {
	select {
	case <-i.started:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.code != nil {
		return nil, nil
	}
	return i.process, nil
}

// Inspect is the instance as the API shows it.
func (i *Instance) Inspect() container.ExecInspectResponse {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.Request
	resp := container.ExecInspectResponse{
		ID: i.ID, ContainerID: i.ContainerID, Running: i.process != nil && i.code == nil, Pid: i.pid,
		ProcessConfig: &container.ExecProcessConfig{
			Tty: r.Tty, Entrypoint: r.Cmd[0], Arguments: append([]string{}, r.Cmd[1:]...), Privileged: &r.Privileged, User: r.User,
		},
		OpenStdin: r.AttachStdin, OpenStdout: r.AttachStdout, OpenStderr: r.AttachStderr, DetachKeys: i.Keys,
	}
	if i.code != nil {
		code := *i.code
		resp.ExitCode = &code
	} else if p, ok := i.process.(interface{ Pid() int }); ok && i.pid == 0 {
		resp.Pid = p.Pid()
	}
	return resp
}

// when is when it ended.
func (i *Instance) when() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ended
}

// idle tells whether nobody has begun to start it.
func (i *Instance) idle() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return !i.claimed
}
