package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/sandbox/monitor"
)

// Sequence numbers of requests that a sandbox makes once: the one that waits for
// its end, and the last one. Other calls count from above them.
const (
	seqWait   = 10
	seqRemove = 11
)

// request makes a message.
func request(seq uint64, op string, body monitor.Part) *monitor.Message {
	m := &monitor.Message{Seq: seq, Op: op}
	if body != nil {
		m.Body = monitor.Marshal(body)
	}
	return m
}

// answer receives the reply to the only request under way.
func answer(conn *monitor.Conn, into monitor.Part) error {
	m, _, err := conn.Receive()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the monitor ended: %w", errdefs.ErrUnavailable)
	}
	if err != nil {
		return err
	}
	return decode(m, into)
}

func decode(m *monitor.Message, into monitor.Part) error {
	if m.Error != nil {
		return m.Error
	}
	if into == nil || len(m.Body) == 0 {
		return nil
	}
	return monitor.Unmarshal(m.Body, into)
}

// call sends a request, with files if any, on the sandbox's connection and
// waits for its reply, which serve hands over.
func (s *Sandbox) call(ctx context.Context, op string, body, into monitor.Part, files ...*os.File) error {
	s.mu.Lock()
	s.seq++
	seq := s.seq
	s.mu.Unlock()
	return s.callAs(ctx, seq, op, body, into, files...)
}

func (s *Sandbox) callAs(ctx context.Context, seq uint64, op string, body, into monitor.Part, files ...*os.File) error {
	reply := make(chan *monitor.Message, 1)
	s.mu.Lock()
	s.calls[seq] = reply
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.calls, seq)
		s.mu.Unlock()
	}()
	if err := s.conn.Send(request(seq, op, body), files...); err != nil {
		return fmt.Errorf("%s %s: %w: %w", op, s.id, err, errdefs.ErrUnavailable)
	}
	select {
	case m := <-reply:
		if err := decode(m, into); err != nil {
			return fmt.Errorf("%s %s: %w", op, s.id, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.cut:
	}
	select { // the reply may have been the last message
	case m := <-reply:
		return decode(m, into)
	default:
		return fmt.Errorf("%s %s: the connection to the monitor ended: %w", op, s.id, errdefs.ErrUnavailable)
	}
}

// serve owns the connection: it hands replies to their calls and settles the
// sandbox's end.
func (s *Sandbox) serve() {
	err := s.conn.Send(request(seqWait, monitor.OpWait, nil))
	for err == nil {
		var m *monitor.Message
		if m, _, err = s.conn.Receive(); err != nil {
			break
		}
		if m.Seq == seqWait {
			s.exited(m)
			continue
		}
		s.mu.Lock()
		reply := s.calls[m.Seq]
		s.mu.Unlock()
		if reply != nil {
			reply <- m
		}
		if m.Seq == seqRemove && kept(m) {
			s.kept = true
			close(s.cut)
			close(s.gone)
			return
		}
	}
	close(s.cut)
	s.broken()
}

// kept tells whether the answer to remove is that the monitor stays.
func kept(m *monitor.Message) bool {
	var r monitor.Removed
	return decode(m, &r) == nil && r.Kept
}
