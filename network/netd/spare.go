package netd

import (
	"net"
	"sync/atomic"
	"syscall"
)

// What is passed on takes descriptors: a connection both its ends and a pipe for
// each direction, a client of datagrams one.
const (
	perConnection = 6
	perPeer       = 1
)

// spare is descriptors for what is passed on: half of those that the process may
// have. The rest is for ports, names and the engine, whoever connects how often.
type spare struct{ left atomic.Int64 }

func (s *spare) set() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		limit.Cur = 1024
	}
	s.left.Store(int64(min(limit.Cur, 1<<30) / 2))
}

// take tells whether there are n, and takes them.
func (s *spare) take(n int64) bool {
	if s.left.Add(-n) < 0 {
		s.left.Add(n)
		return false
	}
	return true
}

// give gives n back.
func (s *spare) give(n int64) { s.left.Add(n) }

// refuse ends a connection as a port does that nobody listens at.
func refuse(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close() // its client may have gone
}
