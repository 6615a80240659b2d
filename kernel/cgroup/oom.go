package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// An OOMKill is a process that the kernel killed for want of memory.
type OOMKill struct {
	// Pid is the process as the machine numbers it, whatever pid namespace we are
	// in; Process is its name (at most 15 bytes, of its own choice). They are 0
	// and "" where the kernel's log does not tell: it may not be read, or it
	// leaves out what comes too often.
	Pid     int
	Process string
}

// An OOMWatcher hears of kills for want of memory in any number of groups, with
// one descriptor for all (v2) or one for each (v1). It is quick for kills
// because a group's limit was hit; of the others in v1, when the host itself
// has no more memory, only Look tells.
type OOMWatcher struct {
	source oomSource
	log    *kernelLog

	mu     sync.Mutex
	byID   map[int32]*OOMWatch
	closed bool
}

// An oomSource says in which groups there may have been a kill.
type oomSource interface {
	add(g *Group) (id int32, err error)
	remove(id int32)
	// wait returns the ids of groups to look at; os.ErrDeadlineExceeded after
	// the deadline.
	wait() ([]int32, error)
	setDeadline(t time.Time)
	// settled tells whether what was announced has happened by now.
	settled(g *Group) bool
	close() error
}

// NewOOMWatcher makes a watcher, which works while Run does. The error is
// errdefs.NotImplemented without a memory controller.
func NewOOMWatcher() (*OOMWatcher, error) {
	h, err := detected()
	if err != nil {
		return nil, err
	}
	w := &OOMWatcher{byID: map[int32]*OOMWatch{}, log: openKernelLog()}
	switch {
	case h.mode == V2:
		w.source, err = newOOMUnified()
	case h.dirs["memory"] != "":
		w.source, err = newOOMV1()
	default:
		err = fmt.Errorf("memory controller: %w", errdefs.ErrNotImplemented)
	}
	if err != nil {
		w.log.close()
		return nil, fmt.Errorf("watch for want of memory: %w", err)
	}
	return w, nil
}

// An OOMWatch is the watch of one group.
type OOMWatch struct {
	w *OOMWatcher
	g *Group

	id    int32
	ready chan struct{}

	mu    sync.Mutex
	seen  uint64
	kills []OOMKill
}

// Watch begins to watch a group. Those of its kills that are in seen, a count of
// OOMKills, are not told.
func (w *OOMWatcher) Watch(g *Group, seen uint64) (*OOMWatch, error) {
	o := &OOMWatch{w: w, g: g, seen: seen, ready: make(chan struct{}, 1)}
	if err := w.enter(o); err != nil {
		return nil, fmt.Errorf("watch cgroup %s: %w", g.name, err)
	}
	o.look() // there may have been some meanwhile
	return o, nil
}

func (w *OOMWatcher) enter(o *OOMWatch) (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errdefs.ErrUnavailable
	}
	if o.id, err = w.source.add(o.g); err == nil {
		w.byID[o.id] = o
	}
	return err
}

// Ready has an element when Take has something to return.
func (o *OOMWatch) Ready() <-chan struct{} { return o.ready }

// maxKills bounds what is kept for one who does not take it.
const maxKills = 64

// Take returns the kills since the last call.
func (o *OOMWatch) Take() []OOMKill {
	o.mu.Lock()
	defer o.mu.Unlock()
	kills := o.kills
	o.kills = nil
	return kills
}

// Look reads the kernel's count now and returns as Take does. Of a group that is
// gone, as one of systemd's is as soon as it is empty, the kernel's log tells.
func (o *OOMWatch) Look() []OOMKill {
	o.look()
	return o.Take()
}

// look tells whether there were kills.
func (o *OOMWatch) look() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.g.OOMKills()
	var fresh []OOMKill
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV):
		fresh = o.w.log.logged(o.g.name, maxKills)
	case err == nil && n > o.seen:
		fresh = o.w.log.killed(o.g.name, n-o.seen)
		o.seen = n
	}
	if len(fresh) == 0 {
		return false
	}
	for _, k := range fresh {
		if len(o.kills) < maxKills {
			o.kills = append(o.kills, k)
		}
	}
	select {
	case o.ready <- struct{}{}:
	default:
	}
	return true
}

// Close ends the watch.
func (o *OOMWatch) Close() {
	o.w.log.logged(o.g.name, maxLogged) // are not for the next group of this name
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	if o.w.byID[o.id] == o && !o.w.closed {
		delete(o.w.byID, o.id)
		o.w.source.remove(o.id)
	}
}

// In v1 the announcement comes before the kill: it is looked at again until
// that is done, in growing intervals up to a second in all.
const (
	firstLook = time.Millisecond
	lastLook  = 512 * time.Millisecond
)

// Run listens until ctx ends. It returns nil then.
func (w *OOMWatcher) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { w.source.setDeadline(time.Unix(1, 0)) })
	defer stop()
	defer w.close()
	var pause time.Duration
	again := map[int32]*OOMWatch{}
	for ctx.Err() == nil {
		if len(again) > 0 {
			w.source.setDeadline(time.Now().Add(pause))
		} else {
			w.source.setDeadline(time.Time{})
		}
		if ctx.Err() != nil {
			return nil // its deadline may be the one that was just replaced
		}
		ids, err := w.source.wait()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if pause *= 2; pause > lastLook {
				clear(again)
			}
		case err != nil:
			return fmt.Errorf("watch for want of memory: %w", err)
		}
		for _, o := range w.named(ids) {
			again[o.id], pause = o, firstLook
		}
		for id, o := range again {
			if o.look() || w.source.settled(o.g) {
				delete(again, id)
			}
		}
	}
	return nil
}

func (w *OOMWatcher) named(ids []int32) []*OOMWatch {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*OOMWatch
	for _, id := range ids {
		if o := w.byID[id]; o != nil {
			out = append(out, o)
		}
	}
	return out
}

func (w *OOMWatcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	clear(w.byID)
	_ = w.source.close() // only read
	w.log.close()
}

// oomUnified listens to memory.events of v2. It changes for other reasons, too.
type oomUnified struct{ files *fileWatch }

func newOOMUnified() (oomSource, error) {
	files, err := newFileWatch()
	return oomUnified{files}, err
}

func (s oomUnified) add(g *Group) (int32, error) {
	return s.files.add(filepath.Join(g.dirs[unified], "memory.events"))
}
func (s oomUnified) remove(id int32)         { s.files.remove(id) }
func (s oomUnified) wait() ([]int32, error)  { return s.files.read() }
func (s oomUnified) setDeadline(t time.Time) { _ = s.files.f.SetReadDeadline(t) }
func (s oomUnified) settled(*Group) bool     { return true } // counted, then announced
func (s oomUnified) close() error            { return s.files.Close() }
