package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/timerslack"
	"github.com/berth-engine/berth/sandbox/monitor"
)

const (
	// answerWithin bounds what a monitor does without a container: starting,
	// and ending.
	answerWithin = 10 * time.Second
	// lookForMemory is how often it is asked whether memory is short.
	lookForMemory = 5 * time.Second
	// retryFill is the pause after a monitor could not be started.
	retryFill = time.Second
	// Monitors that are started ahead take the processor from launches and
	// starts: they wait for the end of those, and for a quiet moment if there is
	// still one to take, but not for ever.
	quiet    = time.Millisecond
	patience = 20 * time.Millisecond
	// restock is how long one more is not started while there is still one to take:
	// the container that took the last one may have ended by then, and its monitor
	// serves the next. After that long, too, a crowd is over, and monitors that it
	// has left, mostKept at most, end.
	restock  = 500 * time.Millisecond
	mostKept = 8
)

// A pool holds monitors that were started ahead and are idle.
type pool struct {
	mu   sync.Mutex
	idle []*process
	kept []*process // have had a container, and are to be greeted anew
	busy int        // launches and starts under way
	last time.Time  // when one of them ended
	took time.Time  // when a monitor was taken
	kick chan struct{}

	short func() bool // whether memory is
	asked time.Time   // when that was asked; of fill alone
	was   bool        // the answer
}

// A process is a monitor.
type process struct {
	pid   int
	start uint64   // ns.ProcessStartTime
	pidfd *os.File // monitor.Pollable
	conn  *monitor.Conn
	once  sync.Once // guards end
}

// fill keeps the pool filled until ctx ends.
func (r *Runtime) fill(ctx context.Context) {
	for ctx.Err() == nil {
		var again <-chan time.Time
		n, wait := r.pool.state()
		switch {
		case r.o.Warm > 0 && r.pool.isShort():
			r.pool.drain()
			again = time.After(lookForMemory)
		case n >= r.o.Warm:
			if n > 0 { // it may become short
				again = time.After(lookForMemory)
			}
			if left := r.pool.trim(); left > 0 {
				again = time.After(left)
			}
		case wait > 0:
			again = time.After(wait)
		default:
			p, err := r.newMonitor()
			if err == nil {
				r.pool.put(p)
				continue
			}
			r.log.Error("cannot start a monitor ahead", "err", err)
			again = time.After(retryFill)
		}
		select {
		case <-ctx.Done():
		case <-r.pool.kick:
		case <-again:
		}
	}
}

// isShort tells whether memory is, as it was some seconds ago at most.
func (p *pool) isShort() bool {
	if now := time.Now(); now.Sub(p.asked) >= lookForMemory {
		p.asked, p.was = now, p.short()
	}
	return p.was
}

// state tells how many monitors there are, and how long to leave it at that
// because of other work.
func (p *pool) state() (n int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n = len(p.idle); {
	case p.busy > 0:
		wait = patience - time.Since(p.took)
	case n > 0 && len(p.kept) == 0:
		wait = restock - time.Since(p.took)
	case n > 0:
		wait = quiet - time.Since(p.last)
	}
	return n, wait
}

// work notes the beginning of a launch or a start; the function that it
// returns, the end.
func (p *pool) work() (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy++
	return func() {
		p.mu.Lock()
		p.busy--
		p.last = time.Now()
		p.mu.Unlock()
		p.wake()
	}
}

func (p *pool) put(m *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, m)
}

// take gives an idle monitor; nil if there is none. Either way there is room
// in the pool.
func (p *pool) take() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wake()
	p.took = time.Now()
	return last(&p.idle)
}

// last takes the last of a list; nil if it is empty.
func last(list *[]*process) *process {
	n := len(*list)
	if n == 0 {
		return nil
	}
	m := (*list)[n-1]
	*list = (*list)[:n-1]
	return m
}

// wake lets fill look again.
func (p *pool) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// giveBack takes a monitor whose container was removed.
func (p *pool) giveBack(m *process) {
	p.mu.Lock()
	room := len(p.kept) < mostKept
	if room {
		p.kept = append(p.kept, m)
	}
	p.mu.Unlock()
	if !room {
		_ = m.end(false)
	}
	p.wake()
}

// takeKept gives one that has had a container; nil if there is none.
func (p *pool) takeKept() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return last(&p.kept)
}

// trim ends those that have had a container, and that nobody needs, if there has
// been no launch for a while; else it tells how long that will take.
func (p *pool) trim() (left time.Duration) {
	p.mu.Lock()
	if len(p.kept) > 0 {
		left = restock - time.Since(p.took)
	}
	p.mu.Unlock()
	if left <= 0 {
		p.endKept()
	}
	return left
}

func (p *pool) endKept() {
	for m := p.takeKept(); m != nil; m = p.takeKept() {
		_ = m.end(false)
	}
}

// drain ends all idle monitors.
func (p *pool) drain() {
	for m := p.take(); m != nil; m = p.take() {
		_ = m.end(false)
	}
	p.endKept()
}

// monitor takes one from the pool, or starts one.
func (r *Runtime) monitor() (*process, error) {
	for p := r.pool.take(); p != nil; p = r.pool.take() {
		// One that somebody killed is found now rather than by a failed launch.
		if !monitor.HasEnded(p.pidfd) {
			return p, nil
		}
		_ = p.end(true)
	}
	return r.newMonitor()
}

// newMonitor has one that has had a container get ready for another, or starts
// one.
func (r *Runtime) newMonitor() (*process, error) {
	for p := r.pool.takeKept(); p != nil; p = r.pool.takeKept() {
		if _, err := greet(p.conn, ""); err == nil {
			return p, nil
		}
		_ = p.end(true)
	}
	return r.startMonitor()
}

// startMonitor starts an idle monitor, in the group of monitors, and waits for
// its first answer.
func (r *Runtime) startMonitor() (*process, error) {
	conn, theirs, err := monitor.Pair()
	if err != nil {
		return nil, fmt.Errorf("start monitor: %w", err)
	}
	p, err := r.fork(theirs)
	if cerr := theirs.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("start monitor: %w", errors.Join(err, conn.Close()))
	}
	p.conn = conn
	if err := r.welcome(p); err != nil {
		return nil, fmt.Errorf("start monitor: %w", errors.Join(err, p.end(true)))
	}
	return p, nil
}

func (r *Runtime) fork(control *os.File) (*process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pid, pidfd := -1, -1
	args := []string{monitor.Name}
	attr := &syscall.ProcAttr{
		Dir: "/",
		// Threads cost memory, and so does the first garbage collection: a
		// launch stays below the size at which it would happen.
		Env:   []string{"GOMAXPROCS=1", "GOGC=50"},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), control.Fd(), r.exe.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	}
	if r.rest != nil {
		args, attr.Files = append(args, monitor.RestArg), append(attr.Files, r.rest.Fd())
	}
	err = timerslack.Fork(func() (err error) { // the containers of the monitor inherit from it
		pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(monitor.ExeFD), args, attr)
		return err
	})
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid}
	if pidfd < 0 {
		return nil, errors.Join(errors.New("the kernel gives no pidfd"), syscall.Kill(pid, syscall.SIGKILL))
	}
	blocking := os.NewFile(uintptr(pidfd), "pidfd")
	p.pidfd, err = monitor.Pollable(blocking)
	_ = blocking.Close() // only duplicated
	if err != nil {
		return nil, errors.Join(err, syscall.Kill(pid, syscall.SIGKILL))
	}
	return p, nil
}

// welcome puts a new monitor in its place and hears its first answer.
func (r *Runtime) welcome(p *process) error {
	for _, dir := range r.monitors.JoinDirs() {
		procs := filepath.Join(dir, "cgroup.procs")
		if err := os.WriteFile(procs, []byte(strconv.Itoa(p.pid)), 0); err != nil {
			return fmt.Errorf("join group: %w", err)
		}
	}
	var err error
	if p.start, err = ns.ProcessStartTime(p.pid); err != nil {
		return err
	}
	_, err = greet(p.conn, "")
	return err
}

// greet exchanges hellos on a new connection.
func greet(conn *monitor.Conn, instance string) (*monitor.Welcome, error) {
	if err := conn.File().SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return nil, err
	}
	hello := request(1, monitor.OpHello, &monitor.Hello{Min: monitor.ProtocolMin, Max: monitor.ProtocolMax, Instance: instance})
	if err := conn.Send(hello); err != nil {
		return nil, err
	}
	w := new(monitor.Welcome)
	if err := answer(conn, w); err != nil {
		return nil, err
	}
	return w, conn.File().SetDeadline(time.Time{})
}

// end ends a monitor: one without a container by closing its connection, so
// that it ends its stage, any by force. It returns when the process is gone,
// and does nothing when repeated.
func (p *process) end(kill bool) (err error) {
	p.once.Do(func() { err = p.stop(kill) })
	return err
}

func (p *process) stop(kill bool) error {
	var errs []error
	if p.conn != nil {
		errs = append(errs, p.conn.Close())
	}
	if kill {
		if err := ns.PidfdSignal(p.pidfd, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, p.wait())...)
}

// wait waits for the end of the process, and reaps it if it is a child.
func (p *process) wait() error { return p.reap(monitor.EndedWithin(p.pidfd, answerWithin)) }

// waitFor is wait for as long as ctx lasts, for one that ends when the disk has
// written what there is to write.
func (p *process) waitFor(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.pidfd.SetReadDeadline(time.Now()) }) // it may be closed by now
	defer stop()
	return p.reap(monitor.Ended(p.pidfd))
}

// reap collects the process, unless waiting for its end failed.
func (p *process) reap(err error) error {
	if err == nil {
		_, err = monitor.Reap(p.pidfd, p.pid)
	}
	if errors.Is(err, syscall.ECHILD) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("end of monitor %d: %w", p.pid, err)
	}
	return errors.Join(err, p.pidfd.Close())
}
