package monitor

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// stdin is the writing end of process 1's standard input.
type stdin struct {
	once bool // end it when its first writer does
	tty  bool

	mu    sync.Mutex // guards what follows, not the write
	f     *os.File   // nil: closed, or never open
	first *Conn      // the first attached writer
	write sync.Mutex // one chunk at a time
}

// join notes a writer.
func (s *stdin) join(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = c
	}
}

// send writes a chunk, waiting for the container to read. Without a reader
// the bytes are dropped.
func (s *stdin) send(p []byte) {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	f := s.f
	s.mu.Unlock()
	if f == nil {
		return
	}
	if _, err := f.Write(p); errors.Is(err, syscall.EPIPE) && !s.tty {
		s.close() // process 1 closed its end
	}
}

// leave ends the input if c was the writer whose end is its end. A terminal has
// no such writer: who detached from it may come back, as under Docker.
func (s *stdin) leave(c *Conn) {
	s.mu.Lock()
	last := s.once && s.first == c && !s.tty
	s.mu.Unlock()
	if !last {
		return
	}
	s.write.Lock() // behind a chunk on its way
	s.close()
	s.write.Unlock()
}

// close ends the input. A blocked send ends too.
func (s *stdin) close() {
	s.mu.Lock()
	f := s.f
	s.f = nil
	s.mu.Unlock()
	if f != nil && !s.tty { // a terminal's file belongs to the output
		_ = f.Close()
	}
}

// feed copies what the client sends until it ends.
func (s *stdin) feed(c *Conn) {
	s.join(c)
	defer s.leave(c)
	buf := make([]byte, 8<<10)
	for {
		n, err := c.f.Read(buf)
		if n > 0 {
			s.send(buf[:n])
		}
		if err != nil {
			return
		}
	}
}
