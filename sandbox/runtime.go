package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/pressure"
)

// A Runtime makes and finds sandboxes.
type Runtime struct {
	o        Options
	log      *slog.Logger
	exe      *os.File           // sealed memfd of berth-sandbox
	rest     *os.File           // what its monitors rest by; nil: they do not
	monitors *cgroup.Group      // where monitors live, outside of everybody's limits
	memory   *cgroup.OOMWatcher // nil: nobody would tell
	features func() cgroup.Features
	pool     pool

	expecting sync.Mutex // held while the kernel is readied

	mu        sync.Mutex
	sandboxes map[string]*Sandbox // by ID; nil while one is being made
	closing   bool                // nothing new is begun
	ending    chan struct{}       // closed with that
	cut       bool                // connections are closed by us
	work      sync.WaitGroup      // one for each Sandbox's connection
	removals  sync.WaitGroup
}

// New reads the monitor program and makes the directories. Run keeps monitors
// started ahead; Launch works without it too.
func New(ctx context.Context, o Options) (*Runtime, error) {
	if o.CgroupParent == "" {
		o.CgroupParent = "/berth"
	}
	if o.Warm == 0 {
		o.Warm = 2
	}
	if o.Calm == 0 {
		o.Calm = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Runtime{o: o, log: o.Log, sandboxes: map[string]*Sandbox{}, ending: make(chan struct{})}
	r.pool.kick, r.pool.short = make(chan struct{}, 1), pressure.MemoryShort
	if err := os.MkdirAll(r.dir(""), 0o700); err != nil {
		return nil, fmt.Errorf("exec root: %w", err)
	}
	program, err := os.Open(o.Binary)
	if err != nil {
		return nil, fmt.Errorf("monitor program: %w", err)
	}
	defer program.Close()
	if r.exe, err = ns.SealedMemfd("berth-sandbox", program); err != nil {
		return nil, fmt.Errorf("monitor program: %w", err)
	}
	if r.rest, err = ns.RestProgram(); err != nil {
		r.log.Info("monitors of idle containers do not rest", "err", err)
	}
	if r.monitors, err = monitorsGroup(o.CgroupParent); err != nil {
		return nil, errors.Join(fmt.Errorf("group of monitors: %w", err), r.exe.Close(), closeIfOpen(r.rest))
	}
	r.features = sync.OnceValue(r.monitors.Features)
	if r.memory, err = cgroup.NewOOMWatcher(); err != nil {
		r.log.Warn("kills for want of memory are told only at a container's end", "err", err)
	}
	return r, nil
}

// monitorsGroup finds the group in which earlier daemons' monitors may live, or
// makes it.
func monitorsGroup(parent string) (*cgroup.Group, error) {
	g, err := cgroup.Load(parent, "monitors")
	if errdefs.IsNotFound(err) {
		g, err = cgroup.Lone(parent, "monitors")
	}
	return g, err
}

// Features tells which limits containers of this host can have, and what
// processors there were when it was first asked.
func (r *Runtime) Features() cgroup.Features { return r.features() }

// Expect tells that a Launch will follow soon. What the kernel can be
// readied for it is, in the background (cgroup.Expect): the earlier it hears of it,
// the less the launch has to wait.
func (r *Runtime) Expect() {
	if !r.expecting.TryLock() {
		return
	}
	go func() { // ends with the kernel's answer
		defer r.expecting.Unlock()
		if err := cgroup.Expect(); err != nil {
			r.log.Debug("launches wait for the kernel", "err", err)
		}
	}()
}

// dir is the exec directory of sandbox id; of all of them if id is empty.
func (r *Runtime) dir(id string) string { return filepath.Join(r.o.ExecRoot, "containers", id) }

// Run keeps the pool of monitors filled until ctx ends. Then it ends idle
// monitors and lets go of all sandboxes, whose containers live on, waits for
// all that the Runtime started, and returns nil. Calls that are waiting then
// fail as errdefs.ErrUnavailable.
func (r *Runtime) Run(ctx context.Context) error {
	if r.memory != nil {
		r.work.Go(func() {
			if err := r.memory.Run(ctx); err != nil {
				r.log.Error("kills for want of memory are told only at a container's end", "err", err)
			}
		})
	}
	r.fill(ctx)
	r.mu.Lock()
	r.closing = true
	close(r.ending)
	r.mu.Unlock()
	r.removals.Wait() // they need the connections
	r.mu.Lock()
	r.cut = true
	for _, s := range r.sandboxes {
		if s != nil {
			_ = s.conn.Close() // its goroutine ends
		}
	}
	r.mu.Unlock()
	r.pool.drain()
	r.work.Wait()
	// The group stays while monitors live in it.
	return errors.Join(r.exe.Close(), closeIfOpen(r.rest))
}

func closeIfOpen(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// IDs lists the sandboxes below ExecRoot, living or dead, except those that
// Remove is taking away.
func (r *Runtime) IDs() ([]string, error) {
	r.mu.Lock() // what is being removed is forgotten when its directory is gone
	defer r.mu.Unlock()
	entries, err := os.ReadDir(r.dir(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("exec root: %w", err)
	}
	var ids []string
	for _, e := range entries {
		s := r.sandboxes[e.Name()]
		if e.IsDir() && validID(e.Name()) == nil && (s == nil || !s.leaving()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// reserve claims id for one that is about to be made or adopted; release gives
// up the claim. old is the sandbox of that id whose container has ended.
func (r *Runtime) reserve(id string) (old *Sandbox, release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return nil, nil, errClosed
	}
	old, ok := r.sandboxes[id]
	if ok && (old == nil || !old.over()) {
		return nil, nil, fmt.Errorf("sandbox %s: %w", id, errdefs.ErrAlreadyExists)
	}
	r.sandboxes[id] = nil
	return old, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch s, ok := r.sandboxes[id]; {
		case !ok || s != nil:
		case old != nil && !old.isRemoved():
			r.sandboxes[id] = old
		default:
			delete(r.sandboxes, id)
		}
	}, nil
}

// Gone waits until nothing is left of the sandbox id, whose container has ended
// and which Remove takes away: its root file system may be mounted anew. It
// returns at once if there is none, or if it is not being removed.
func (r *Runtime) Gone(ctx context.Context, id string) error {
	r.mu.Lock()
	s := r.sandboxes[id]
	r.mu.Unlock()
	if s == nil || !s.leaving() {
		return nil
	}
	return s.removed(ctx)
}

// own enters a new sandbox and starts to serve its connection.
func (r *Runtime) own(s *Sandbox) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return errClosed
	}
	r.sandboxes[s.id] = s
	r.work.Go(s.serve)
	return nil
}

// disown forgets a removed sandbox.
func (r *Runtime) disown(s *Sandbox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sandboxes[s.id] == s {
		delete(r.sandboxes, s.id)
	}
}

var errClosed = fmt.Errorf("the runtime is shutting down: %w", errdefs.ErrUnavailable)
