package monitor

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/logblock"
	"github.com/berth-engine/berth/sandbox/stage"
)

// A monitor whose container runs, and to whom nothing happens, goes to rest
// (ns.Rest): it is a page or two of memory then, until there is output, a request,
// a new connection or an end. It does not rest while anybody is attached, while a
// further process runs or was not removed, when hooks are to be run at the end, or
// when another runtime has the container.

const (
	// calmMost bounds the time for which nothing has to happen before a rest. It is
	// Launch.Calm at first, and doubles when a rest was shorter than restWorth times that:
	// each costs the start of a program.
	calmMost  = 10 * time.Minute
	restWorth = 12
)

// resting is what is handed over, beside the Launch. Descriptors are numbers; 0 is
// none.
type resting struct {
	calm, slept       int // nanoseconds, and since 1970
	began             int // when the container did, likewise
	pid, start, pidfd int
	soft, hard        int // of open files; 0: unknown
	listener, rootfs  int
	in, out, err, tty int
	fed               int // 1: the input has had its first writer
	log               int
	logSize, logMarks int
	conns             []int // of each: descriptor, number of wait requests, these
	forkers           []int // number and descriptor of each
}

// each calls one for each number, and some for each list.
func (r *resting) each(one func(*int), some func(*[]int)) {
	for _, v := range []*int{
		&r.calm, &r.slept, &r.began, &r.pid, &r.start, &r.pidfd, &r.soft, &r.hard, &r.listener, &r.rootfs,
		&r.in, &r.out, &r.err, &r.tty, &r.fed, &r.log, &r.logSize, &r.logMarks,
	} {
		one(v)
	}
	some(&r.conns)
	some(&r.forkers)
}

// encode is the state: for this program only, so its form is nobody's business.
func (r *resting) encode(l *Launch) []byte {
	var b []byte
	one := func(v *int) { b = binary.NativeEndian.AppendUint64(b, uint64(*v)) }
	r.each(one, func(list *[]int) {
		n := len(*list)
		one(&n)
		for i := range *list {
			one(&(*list)[i])
		}
	})
	return append(b, Marshal(l)...)
}

func (r *resting) decode(b []byte) (*Launch, error) {
	one := func(v *int) {
		if len(b) >= 8 {
			*v = int(binary.NativeEndian.Uint64(b))
			b = b[8:]
		}
	}
	r.each(one, func(list *[]int) {
		n := 0
		one(&n)
		*list = make([]int, min(n, len(b)/8))
		for i := range *list {
			one(&(*list)[i])
		}
	})
	l := new(Launch)
	return l, Unmarshal(b, l)
}

func (l *Launch) calm() time.Duration { return time.Duration(l.Calm) * time.Millisecond }

// restAtLast goes to rest whenever nothing has happened for a while. It returns when
// the container has ended, or there is no rest for it.
func (s *server) restAtLast() {
	if s.calm == 0 {
		s.calm = s.c.cfg.calm()
	}
	for wait := s.calm; s.rests && s.calm > 0; {
		select {
		case <-s.c.done:
			return
		case <-time.After(wait):
		}
		wait = s.rest()
	}
}

// rest goes to rest if nothing has happened for a while. Else it returns how long
// that will be at least.
func (s *server) rest() time.Duration {
	// As long as this is held, nothing is taken out of the kernel.
	s.c.gate.mu.Lock()
	defer s.c.gate.mu.Unlock()
	if left := s.calm - time.Since(s.c.gate.last); left > 0 && s.c.gate.busy == 0 {
		return left
	}
	r := resting{calm: int(s.calm), slept: int(time.Now().UnixNano())}
	if s.c.gate.busy > 0 || !s.c.resting(&r) || !s.resting(&r) {
		return s.calm
	}
	wakeups := []ns.Wakeup{{FD: r.pidfd}, {FD: r.listener}}
	for _, fd := range []int{r.out, r.err, r.tty} {
		if fd > 0 {
			wakeups = append(wakeups, ns.Wakeup{FD: fd})
		}
	}
	for i := 0; i < len(r.conns); i += 2 + r.conns[i+1] {
		wakeups = append(wakeups, ns.Wakeup{FD: r.conns[i], Peer: true})
	}
	for i := 0; i < len(r.forkers); i += 2 {
		wakeups = append(wakeups, ns.Wakeup{FD: r.forkers[i+1]})
	}
	keep := []int{r.rootfs}
	for _, fd := range []int{r.in, r.log} {
		if fd > 0 {
			keep = append(keep, fd)
		}
	}
	if ns.Rest(RestFD, []string{Name, awakeArg}, os.Environ(), wakeups, keep, r.encode(s.c.cfg)) != nil {
		s.calm = calmMost
	}
	return s.calm
}

// resting notes what is the container's; false: it cannot be left alone.
func (c *container) resting(r *resting) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateRunning || c.other != nil || c.proc.Hooks != nil || !c.execs.resting(r) || !c.io.resting(r) {
		return false
	}
	r.began = int(c.startedAt.UnixNano())
	r.pid, r.start, r.pidfd, r.rootfs = c.proc.Pid, int(c.proc.StartTime), fdOf(c.proc.PidFD), fdOf(c.rootfs)
	if c.nofile != nil {
		r.soft, r.hard = int(c.nofile.Cur), int(c.nofile.Max)
	}
	return true
}

func (s *execs) resting(r *resting) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid, f := range s.forkers {
		r.forkers = append(r.forkers, pid, fdOf(f))
	}
	return len(s.all) == 0 && !s.ending
}

func (s *stdio) resting(r *resting) bool {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.logging.Lock()
	defer s.logging.Unlock()
	r.in = fdOf(s.in.f)
	if s.in.first != nil {
		r.fed = 1
	}
	if s.tty != nil {
		r.tty, r.in = fdOf(s.tty), 0
		s.restingLog(r)
		return !s.over[logblock.Stdout]
	}
	if !s.over[logblock.Stdout] {
		r.out = fdOf(s.out)
	}
	if !s.over[logblock.Stderr] {
		r.err = fdOf(s.err)
	}
	s.restingLog(r)
	return true
}

func (s *stdio) restingLog(r *resting) {
	if s.writer != nil {
		f, size, marks := s.writer.State()
		r.log, r.logSize, r.logMarks = fdOf(f), int(size), marks
	}
}

// resting notes the connections.
func (s *server) resting(r *resting) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, waits := range s.waits {
		fd := fdOf(conn.f)
		if fd == 0 {
			continue // it has just been closed
		}
		r.conns = append(r.conns, fd, len(waits))
		for _, seq := range waits {
			r.conns = append(r.conns, int(seq))
		}
	}
	r.listener = fdOf(s.listener)
	return s.listener != nil
}

// fdOf is the number of a descriptor; 0 if there is none.
func fdOf(f *os.File) (n int) {
	if f == nil {
		return 0
	}
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// awake goes on where rest stopped.
func (s *server) awake() error {
	b, err := ns.AwakeState()
	if err != nil {
		return err
	}
	var r resting
	l, err := r.decode(b)
	if err != nil {
		return fmt.Errorf("state of a rest: %w", err)
	}
	s.calm = min(2*time.Duration(r.calm), calmMost)
	if time.Since(time.Unix(0, int64(r.slept))) > restWorth*l.calm() {
		s.calm = l.calm()
	}
	c := s.c
	c.gate.enter() // until all is there
	defer c.gate.leave()
	c.cfg, c.state, c.startedAt, c.rootfs = l, StateRunning, time.Unix(0, int64(r.began)), file(r.rootfs)
	c.proc = &process{Process: &stage.Process{Pid: r.pid, PidFD: file(r.pidfd), StartTime: uint64(r.start)}}
	if r.hard != 0 {
		c.nofile = &unix.Rlimit{Cur: uint64(r.soft), Max: uint64(r.hard)}
	}
	c.io = l.awakeStdio(&r)
	c.io.gate = &c.gate
	pidfd, err := Pollable(c.proc.PidFD)
	if err != nil {
		return err
	}
	c.execs.mu.Lock()
	for i := 0; i+1 < len(r.forkers); i += 2 {
		c.execs.keepForker(r.forkers[i], file(r.forkers[i+1]))
	}
	c.execs.mu.Unlock()
	if err := s.listenOn(file(r.listener)); err != nil {
		return err
	}
	for i := 0; i < len(r.conns); {
		fd, end := r.conns[i], i+2+r.conns[i+1]
		var waits []uint64
		for _, seq := range r.conns[i+2 : end] {
			waits = append(waits, uint64(seq))
		}
		i = end
		conn, err := NewConn(fd)
		if err != nil {
			return err
		}
		conn.gate = &c.gate
		s.admit(1)
		s.note(conn, waits)
		go func() {
			defer s.admit(-1)
			s.serveOn(conn)
		}()
	}
	c.io.pump(c.output)
	go c.reap(pidfd)
	go s.restAtLast()
	return nil
}

// awakeStdio are the streams of before.
func (l *Launch) awakeStdio(r *resting) *stdio {
	s := &stdio{ended: make(chan struct{}), out: file(r.out), err: file(r.err), tty: file(r.tty)}
	s.in.once, s.in.f = l.StdinOnce, file(r.in)
	if s.tty != nil {
		s.in.f, s.in.tty = s.tty, true
	}
	if r.fed != 0 {
		s.in.first = new(Conn) // nobody who comes is it
	}
	if l.LogDir != "" {
		s.writer = logblock.Continue(l.LogDir, l.logOptions(s), file(r.log), int64(r.logSize), r.logMarks)
	}
	return s
}

func (l *Launch) logOptions(s *stdio) logblock.WriterOptions {
	return logblock.WriterOptions{MaxSize: l.LogMaxSize, MaxFiles: l.LogMaxFiles, Done: s.ended}
}

// file is an open descriptor; nil for 0.
func file(fd int) *os.File {
	if fd == 0 {
		return nil
	}
	return os.NewFile(uintptr(fd), "kept")
}
