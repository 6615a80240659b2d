package monitor

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// maxConns bounds the connections to one monitor.
const maxConns = 512

// A server answers requests about one container.
type server struct {
	c       *container
	removed chan struct{} // closed by the last request
	kept    bool          // by then: there may be another container
	// prepare, if any, is called by the first hello: by then the daemon has put
	// this process, and so its children, into the group of monitors.
	prepare func() error
	// rests: it may rest (rest.go). calm is how long nothing has to happen before it does.
	rests bool
	calm  time.Duration
	keeps bool // it may be kept (lives.go)

	mu       sync.Mutex
	conns    int
	closed   bool               // nobody is admitted any more
	waits    map[*Conn][]uint64 // wait requests of the connections that are open
	listener *os.File
	once     sync.Once
}

// serve answers a new connection's requests until it ends. The gate was entered for it.
func (s *server) serve(conn *Conn) {
	conn.gate = &s.c.gate
	if s.welcome(conn) {
		s.serveOn(conn)
		return
	}
	_ = conn.Close()
}

// welcome opens a connection; false: it is over.
func (s *server) welcome(conn *Conn) bool {
	defer s.c.gate.leave() // who has said nothing keeps us awake
	m, files, err := conn.Receive()
	closeAll(files)
	if err != nil {
		return false
	}
	defer s.c.gate.leave()
	welcome, err := s.hello(m)
	if reply(conn, m.Seq, welcome, err) != nil || err != nil {
		return false
	}
	s.note(conn, nil)
	return true
}

// serveOn serves a connection that was opened and noted.
func (s *server) serveOn(conn *Conn) {
	defer s.forget(conn)
	for s.next(conn) {
	}
	if !s.kept {
		_ = conn.Close()
	}
}

// next serves the next request; false: the connection is over.
func (s *server) next(conn *Conn) bool {
	m, files, err := conn.Receive()
	if err != nil {
		return false
	}
	defer s.c.gate.leave()
	if m.Op == OpAttach {
		closeAll(files)
		s.attach(conn, m)
		return false
	}
	return s.handle(conn, m, files)
}

// note notes a connection and wait requests of it that are not answered yet. A rest
// keeps what is noted alone: so it is done before the gate is left.
func (s *server) note(conn *Conn, waits []uint64) {
	s.mu.Lock()
	if s.waits == nil {
		s.waits = map[*Conn][]uint64{}
	}
	s.waits[conn] = append(s.waits[conn], waits...)
	s.mu.Unlock()
	for _, seq := range waits {
		go s.wait(conn, seq) // ends with the container, or the program
	}
}

func (s *server) forget(conn *Conn) {
	s.mu.Lock()
	delete(s.waits, conn)
	s.mu.Unlock()
}

// hello opens a connection.
func (s *server) hello(m *Message) (*Welcome, error) {
	if m.Op != OpHello {
		return nil, fmt.Errorf("%s before hello: %w", m.Op, errdefs.ErrFailedPrecondition)
	}
	var h Hello
	if err := body(m, &h); err != nil {
		return nil, err
	}
	v, err := negotiate(h)
	if err != nil {
		return nil, err
	}
	if s.prepare != nil {
		if err := s.prepare(); err != nil {
			return nil, err
		}
	}
	st := s.c.status()
	if h.Instance != "" && h.Instance != st.Instance {
		return nil, fmt.Errorf("this is instance %s of %s, not %s: %w", st.Instance, st.ID, h.Instance, errdefs.ErrConflict)
	}
	return &Welcome{Protocol: v, Pid: os.Getpid(), ID: st.ID, Instance: st.Instance}, nil
}

// handle answers one request; false: the connection is over.
func (s *server) handle(conn *Conn, m *Message, files []*os.File) bool {
	var answer Part
	var err error
	if m.Op != OpLaunch && m.Op != OpExec && m.Op != OpFork {
		closeAll(files)
	}
	switch m.Op {
	case OpLaunch:
		if answer, err = s.launch(m, files); err != nil {
			// A monitor whose launch failed has no other use.
			_ = reply(conn, m.Seq, nil, err)
			s.end()
			return false
		}
	case OpStart:
		if answer, err = s.c.start(); err == nil {
			err = s.c.poststart()
		}
		if err == nil {
			go s.restAtLast()
		}
		if e := (*Error)(nil); errors.As(err, &e) && e.Exec() {
			<-s.c.done // nothing runs any more when we say that nothing runs
		}
	case OpStatus:
		answer = s.c.status()
	case OpWait:
		s.note(conn, []uint64{m.Seq})
		return true
	case OpSignal:
		var b Signal
		if err = body(m, &b); err == nil {
			err = s.c.signal(b.Signal)
		}
	case OpResize:
		var b Resize
		if err = body(m, &b); err == nil {
			err = s.c.resize(b)
		}
	case OpLogLimits:
		var b LogLimits
		if err = body(m, &b); err == nil {
			err = s.c.limitLog(b)
		}
	case OpRemove:
		if answer, err = s.remove(m); err == nil {
			_ = reply(conn, m.Seq, answer, nil)
			s.end()
			return false
		}
	default:
		return s.handleExec(conn, m, files)
	}
	return reply(conn, m.Seq, answer, err) == nil
}

func (s *server) launch(m *Message, files []*os.File) (*Created, error) {
	var l Launch
	if err := body(m, &l); err != nil {
		closeAll(files)
		return nil, err
	}
	// It is by the socket that a new daemon finds us.
	return s.c.launch(&l, files, func() error { return s.listen(l.Dir) })
}

// wait answers a wait request.
func (s *server) wait(conn *Conn, seq uint64) {
	<-s.c.done
	s.c.mu.Lock()
	exited := s.c.exited
	s.c.mu.Unlock()
	_ = reply(conn, seq, &exited, nil) // who left does not want to know
}

func (s *server) remove(m *Message) (*Removed, error) {
	var b Remove
	if len(m.Body) > 0 {
		if err := body(m, &b); err != nil {
			return nil, err
		}
	}
	if st := s.c.status(); st.State != StateExited {
		return nil, fmt.Errorf("remove: the container is %s: %w", st.State, errdefs.ErrFailedPrecondition)
	}
	if b.Keep && s.part() {
		s.kept = true
	}
	return &Removed{Warnings: s.c.stopped(), Kept: s.kept}, nil
}

// attach turns the connection into the container's streams: output in frames
// with Docker's 8-byte header to the client, input as it is from it. It returns
// when the client has left.
func (s *server) attach(conn *Conn, m *Message) {
	var a Attach
	err := body(m, &a)
	if err == nil && s.c.status().State == StateIdle {
		err = fmt.Errorf("attach: no container: %w", errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		_ = reply(conn, m.Seq, nil, err)
		return
	}
	cl := s.c.fan.add(conn, a)
	if reply(conn, m.Seq, nil, nil) != nil {
		cl.leave()
		return
	}
	cl.serve(&s.c.io.in, a.Stdin)
}

// serve carries both directions until the client leaves.
func (c *client) serve(in *stdin, input bool) {
	go c.run()
	if input {
		in.feed(c.conn)
	} else {
		discard(c.conn)
	}
	hungUp(c.conn) // it said that it sends no more; now wait until it leaves
	c.leave()
	<-c.done
}

// discard reads what nobody asked for, to learn of its end.
func discard(conn *Conn) {
	var b [512]byte
	for {
		if _, err := conn.f.Read(b[:]); err != nil {
			return
		}
	}
}

// listen makes the monitor reachable below dir.
func (s *server) listen(dir string) error {
	l, err := listen(dir)
	if err != nil {
		return err
	}
	return s.listenOn(l)
}

// listenOn serves who connects to l.
func (s *server) listenOn(l *os.File) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	go func() {
		for {
			conn, err := accept(raw, &s.c.gate)
			if err != nil {
				return // the program ends
			}
			if !s.admit(1) {
				_ = conn.Close()
				s.c.gate.leave()
				continue
			}
			go func() {
				defer s.admit(-1)
				s.serve(conn)
			}()
		}
	}()
	return nil
}

// admit counts connections; false: there are too many.
func (s *server) admit(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 && (s.closed || s.conns >= maxConns) {
		return false
	}
	s.conns += n
	return true
}

func (s *server) end() { s.once.Do(func() { close(s.removed) }) }

// body decodes a request's body.
func body(m *Message, into Part) error {
	if len(m.Body) == 0 {
		return fmt.Errorf("%s without a body: %w", m.Op, errdefs.ErrInvalidArgument)
	}
	if err := Unmarshal(m.Body, into); err != nil {
		return fmt.Errorf("%s: %w: %w", m.Op, err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// reply answers request seq.
func reply(conn *Conn, seq uint64, answer Part, err error) error {
	m := &Message{Seq: seq}
	if err != nil {
		m.Error = travelling(err)
	} else if answer != nil {
		m.Body = Marshal(answer)
	}
	return conn.Send(m)
}
