package monitor

import (
	"os"
	"sync"
	"time"
)

// A monitor may serve one container after another, which spares the start of a
// program for each: the daemon that started it asks for that with remove, and finds
// it as it was when it had just been started. What a container's life leaves in a
// monitor is garbage, so it has not many of them; one with further processes, hooks, a
// terminal or another runtime leaves more, and is the last.

const (
	// maxLives is how many containers a monitor serves. Its garbage stays below the
	// size at which a collection would happen, in the middle of a launch.
	maxLives = 16
	// partWithin is how long clients may take to leave when all is over.
	partWithin, partLook = time.Second, 5 * time.Millisecond
)

// live serves one container after another.
func live(exe *os.File, conn *Conn, rests bool) error {
	for lives := 1; ; lives++ {
		s := &server{c: newContainer(exe), removed: make(chan struct{}), rests: rests, keeps: lives < maxLives}
		if err := s.live(conn); err != nil || !s.kept {
			return err
		}
	}
}

// live serves one container. Unless the monitor is kept, it is to end then.
func (s *server) live(conn *Conn) error {
	s.prepare = sync.OnceValue(s.c.prepare)
	defer s.c.abandon()
	gone := make(chan struct{})
	s.c.gate.enter() // for serve
	go func() {
		defer close(gone)
		s.serve(conn)
	}()
	select {
	case <-s.removed:
	case <-gone:
		if s.c.status().State == StateIdle {
			return errIdle // nobody can reach us any more
		}
	}
	s.outlast()
	if s.kept {
		<-gone
	}
	return nil
}

// part lets go of all that is the container's, which has ended, and tells whether
// the monitor is as it was before; else it has to end.
func (s *server) part() bool {
	if !s.keeps || !s.c.plain() || !s.left() {
		return false
	}
	<-s.c.free
	return true
}

// plain tells whether the container was of the kind that leaves nothing.
func (c *container) plain() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.execs.mu.Lock()
	defer c.execs.mu.Unlock()
	return c.other == nil && c.proc.Hooks == nil && !c.cfg.Plan.Terminal && c.cfg.Plan.Outside == "" && !c.execs.used
}

// left waits a little until nobody but the daemon that asks is connected, and has
// nobody come any more.
func (s *server) left() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range partWithin / partLook {
		if s.conns == 0 {
			s.closed = true
			_ = s.listener.Close() // who waits there is served by nobody
			return true
		}
		s.mu.Unlock()
		time.Sleep(partLook)
		s.mu.Lock()
	}
	return false
}
