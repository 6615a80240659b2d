package monitor

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/ns"
)

// maxExecs bounds the further processes of one container, those that ended
// and were not removed included.
const maxExecs = 1024

// execs are the further processes of a container.
type execs struct {
	gate    *gate
	mu      sync.Mutex
	all     map[string]*execution
	ending  bool             // the container is: no new ones
	used    bool             // there was one, or a forker
	work    sync.WaitGroup   // one for each that is made or runs, and each forker
	forkers map[int]*os.File // pidfds, by number
}

// enter reserves the id of one that is about to be made.
func (s *execs) enter(x *execution) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ending:
		return notRunning(StateExited)
	case s.all[x.ID] != nil:
		return fmt.Errorf("exec %s exists: %w", x.ID, errdefs.ErrConflict)
	case len(s.all) >= maxExecs:
		return fmt.Errorf("exec: the container has %d further processes already: %w", len(s.all), errdefs.ErrUnavailable)
	}
	if s.all == nil {
		s.all = map[string]*execution{}
	}
	s.all[x.ID] = x
	s.used = true
	s.work.Add(1)
	return nil
}

// leave forgets one that could not be made.
func (s *execs) leave(x *execution) {
	s.mu.Lock()
	delete(s.all, x.ID)
	x.forget()
	s.mu.Unlock()
	s.work.Done()
}

// made notes the process; from here on it ends with the container. If that is
// ending already, so does the process.
func (s *execs) made(x *execution, proc *process) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		err = notRunning(StateExited)
	} else {
		x.pidfd, err = Pollable(proc.PidFD)
	}
	if err != nil {
		proc.Abandon()
	}
	return err
}

// started lets others see it.
func (s *execs) started(x *execution, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.startedAt = at
}

// ended notes the end of one that ran, and lets go what it had.
func (s *execs) ended(x *execution) {
	_ = x.proc.Close() // handles only
	_ = x.io.close()
	s.mu.Lock()
	x.forget()
	close(x.done)
	s.mu.Unlock()
	s.work.Done()
}

// forget closes the handle of the process, which has been reaped.
func (x *execution) forget() {
	if x.pidfd != nil {
		_ = x.pidfd.Close() // only read
		x.pidfd = nil
	}
}

// end ends all, with the container, and waits for it.
func (s *execs) end() {
	s.mu.Lock()
	s.ending = true
	for _, x := range s.all {
		// Those in the container's pid namespace have ended with it.
		if x.pidfd != nil {
			_ = ns.PidfdSignal(x.pidfd, syscall.SIGKILL)
		}
	}
	s.endForkers()
	s.mu.Unlock()
	s.work.Wait()
}

// find returns one that was started.
func (s *execs) find(id string) (*execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.all[id]; x != nil && !x.startedAt.IsZero() {
		return x, nil
	}
	return nil, fmt.Errorf("exec %s: %w", id, errdefs.ErrNotFound)
}

// remove forgets one that has ended.
func (s *execs) remove(id string) error {
	x, err := s.find(id)
	if err != nil {
		return err
	}
	select {
	case <-x.done:
	default:
		return fmt.Errorf("exec %s runs: %w", id, errdefs.ErrFailedPrecondition)
	}
	s.mu.Lock()
	delete(s.all, id)
	s.mu.Unlock()
	return nil
}

func (s *execs) list() *ExecList {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &ExecList{Execs: []ExecStatus{}}
	for _, id := range slices.Sorted(maps.Keys(s.all)) {
		x := s.all[id]
		if x.startedAt.IsZero() {
			continue
		}
		st := ExecStatus{ID: id, Pid: x.proc.Pid, StartTime: x.proc.StartTime, StartedAt: x.startedAt, Note: x.Note}
		select {
		case <-x.done:
			exit := x.exit
			st.Exit = &exit
		default:
		}
		l.Execs = append(l.Execs, st)
	}
	return l
}

// handleExec answers the requests about further processes; false: the
// connection is over.
func (s *server) handleExec(conn *Conn, m *Message, files []*os.File) bool {
	var answer Part
	var err error
	if m.Op != OpExec && m.Op != OpFork {
		closeAll(files)
	}
	switch m.Op {
	case OpExec:
		b := new(Exec)
		if err = body(m, b); err != nil {
			closeAll(files)
			break
		}
		s.c.gate.enter()
		go func() { // it takes a while, and others want an answer
			defer s.c.gate.leave()
			done, err := s.c.exec(b, files)
			if err != nil {
				_ = reply(conn, m.Seq, nil, err)
				return
			}
			_ = reply(conn, m.Seq, done, nil) // who left finds it in the list
		}()
		return true
	case OpFork:
		var b Fork
		if err = body(m, &b); err != nil {
			closeAll(files)
			break
		}
		s.c.gate.enter()
		go func() { // as above
			defer s.c.gate.leave()
			made, err := s.c.fork(&b, files)
			if err != nil {
				_ = reply(conn, m.Seq, nil, err)
				return
			}
			_ = reply(conn, m.Seq, made, nil)
		}()
		return true
	case OpExecWait:
		var b ExecRef
		var x *execution
		if err = body(m, &b); err == nil {
			x, err = s.c.execs.find(b.ID)
		}
		if err == nil {
			go func() { // ends with the process
				<-x.done
				_ = reply(conn, m.Seq, &x.exit, nil)
			}()
			return true
		}
	case OpExecSignal:
		var b ExecSignal
		err = s.withExec(m, &b, &b.ID, func(x *execution) error { return x.signal(b.Signal) })
	case OpExecResize:
		var b ExecResize
		err = s.withExec(m, &b, &b.ID, func(x *execution) error { return x.resize(b) })
	case OpExecRemove:
		var b ExecRef
		if err = body(m, &b); err == nil {
			err = s.c.execs.remove(b.ID)
		}
	case OpExecList:
		answer = s.c.execs.list()
	default:
		err = fmt.Errorf("request %q: %w", m.Op, errdefs.ErrNotImplemented)
	}
	return reply(conn, m.Seq, answer, err) == nil
}

// withExec reads a request and does it to the process that it names, if that
// has not ended.
func (s *server) withExec(m *Message, b Part, id *string, do func(*execution) error) error {
	if err := body(m, b); err != nil {
		return err
	}
	x, err := s.c.execs.find(*id)
	if err != nil {
		return err
	}
	s.c.execs.mu.Lock()
	defer s.c.execs.mu.Unlock()
	if x.pidfd == nil {
		return fmt.Errorf("exec %s has ended: %w", *id, errdefs.ErrNotFound)
	}
	return do(x)
}
