package autobuild

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/store"
)

const (
	// maxLog bounds a build's log, in bytes.
	maxLog = 4 << 20
	// chunk is how much of it is written at once, at the latest after pause.
	chunk = 16 << 10
	pause = 500 * time.Millisecond
)

// buildLog writes a build's log to the database while it grows.
type buildLog struct {
	s  *Service
	id string

	mu      sync.Mutex
	start   int64 // of pending
	pending []byte
	full    bool
	timer   *time.Timer
	err     error
}

// Write never fails: a build does not end because its log cannot be kept. close
// says so.
func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := maxLog - l.start - int64(len(l.pending))
	switch {
	case l.full:
	case int64(len(p)) > room:
		l.pending = append(append(l.pending, p[:room]...), "\n[the log is longer than the Hub keeps; the rest is left out]\n"...)
		l.full = true
	default:
		l.pending = append(l.pending, p...)
	}
	switch {
	case len(l.pending) >= chunk:
		l.flush()
	case l.timer == nil && len(l.pending) > 0:
		l.timer = time.AfterFunc(pause, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.flush()
		})
	}
	return len(p), nil
}

// flush writes what is pending. l.mu is held.
func (l *buildLog) flush() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if len(l.pending) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := l.s.DB.Exec(ctx, "INSERT INTO build_logs (build, start, text) VALUES (?, ?, ?)", l.id, l.start, base64.StdEncoding.EncodeToString(l.pending))
	if err != nil {
		l.err = err
	}
	l.start += int64(len(l.pending))
	l.pending = nil
	l.s.tell(l.id)
}

func (l *buildLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	return l.err
}

// newLog goes on where an earlier try of the build ended.
func (s *Service) newLog(ctx context.Context, id string) (*buildLog, error) {
	l := &buildLog{s: s, id: id}
	_, next, err := s.readLog(ctx, id, 0)
	l.start = next
	return l, err
}

// readLog returns what a log has from an offset on.
func (s *Service) readLog(ctx context.Context, id string, from int64) (text []byte, next int64, err error) {
	rows, err := s.DB.Query(ctx, "SELECT start, text FROM build_logs WHERE build = ? AND start >= ? ORDER BY start", id, from)
	next = from
	_, err = store.Collect(rows, err, func(row store.Scanner) (struct{}, error) {
		var start int64
		var encoded string
		if err := row.Scan(&start, &encoded); err != nil {
			return struct{}{}, err
		}
		raw, err := base64.StdEncoding.DecodeString(encoded)
		text, next = append(text, raw...), start+int64(len(raw))
		return struct{}{}, err
	})
	return text, next, err
}

// tell wakes who follows a build.
func (s *Service) tell(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, of := range s.waiting {
		if of == id {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}

// WriteLog writes a build's log to w, for who may push; with follow, until the
// build has ended, or they may no longer. After each part it calls flush.
func (s *Service) WriteLog(ctx context.Context, by account.Principal, repository, id string, follow bool, w io.Writer, flush func() error) error {
	news := make(chan struct{}, 1)
	s.mu.Lock()
	s.waiting[news] = id
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, news)
	}()
	for at := int64(0); ; {
		b, err := s.Build(ctx, by, repository, id) // before its log, whose end is then there, too
		if err != nil {
			return err
		}
		text, next, err := s.readLog(ctx, id, at)
		if err != nil {
			return err
		}
		at = next
		if len(text) > 0 {
			if _, err := w.Write(text); err != nil {
				return err
			}
			if err := flush(); err != nil {
				return err
			}
		}
		if b.Over() || !follow {
			return nil
		}
		again := time.NewTimer(2 * time.Second) // another node's build wakes nobody here
		select {
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		case <-news:
		case <-again.C:
		}
		again.Stop()
	}
}

func (l *buildLog) printf(format string, a ...any) { fmt.Fprintf(l, format+"\n", a...) }
