package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/sandbox/monitor"
)

// seqWait is the sequence number of the one wait request of a connection;
// calls count from above it.
const seqWait = 10

// request makes a message.
func request(seq uint64, op string, body any) (*monitor.Message, error) {
	m := &monitor.Message{Seq: seq, Op: op}
	if body != nil {
		var err error
		if m.Body, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
	}
	return m, nil
}

// answer receives the reply to the only request under way.
func answer(conn *monitor.Conn, into any) error {
	m, _, err := conn.Receive()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the monitor ended: %w", errdefs.ErrUnavailable)
	}
	if err != nil {
		return err
	}
	return decode(m, into)
}

func decode(m *monitor.Message, into any) error {
	if m.Error != nil {
		return m.Error
	}
	if into == nil || len(m.Body) == 0 {
		return nil
	}
	return json.Unmarshal(m.Body, into)
}

// call sends a request on the sandbox's connection and waits for its reply,
// which serve hands over.
func (s *Sandbox) call(ctx context.Context, op string, body, into any) error {
	reply := make(chan *monitor.Message, 1)
	s.mu.Lock()
	s.seq++
	seq := s.seq
	s.calls[seq] = reply
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.calls, seq)
		s.mu.Unlock()
	}()
	m, err := request(seq, op, body)
	if err == nil {
		err = s.conn.Send(m)
	}
	if err != nil {
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
	wait, err := request(seqWait, monitor.OpWait, nil)
	if err == nil {
		err = s.conn.Send(wait)
	}
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
	}
	close(s.cut)
	s.broken()
}
