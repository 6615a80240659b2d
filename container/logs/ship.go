package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/docker/go-units"

	"github.com/berth-engine/berth/container/logs/driver"
	"github.com/berth-engine/berth/sandbox/logblock"
)

const (
	saveEvery  = time.Second
	retryFirst = 100 * time.Millisecond
	retryMost  = 10 * time.Second
	// bufferSize is what may wait without mode=blocking, as in Docker.
	bufferSize = 1 << 20
	// lookEvery messages the length of the queue is looked at.
	lookEvery = 64
)

// A Shipment carries one container's log from the engine's blocks to a driver.
// How far it came is kept in a file, so that another daemon goes on there: a
// message is delivered at least once, to a json-file exactly once.
//
// In mode blocking the monitor does not remove what is still to be delivered:
// the container waits. In mode non-blocking, what exceeds max-buffer-size is
// left out. A daemon that does not run holds nobody up; what the log's own
// limits made room for meanwhile is lost for the driver, and that is logged.
type Shipment struct {
	Dir    string // of the blocks
	State  string // the file that says how far it came
	Driver string
	Info   *driver.Info
	// Opened is the driver, if it was opened already.
	Opened driver.Driver
	// Done is closed when no more will be written.
	Done <-chan struct{}
	Log  *slog.Logger

	out   driver.Driver
	at    progress
	dirty bool // at is not what the file says
	saved time.Time
	parts [logblock.Stderr + 1]driver.Part
}

// progress is the content of the state file.
type progress struct {
	logblock.Position
	Size int64 `json:"size,omitempty"` // of the json-file up to here
}

// Run delivers until Done is closed and all is delivered, or ctx ends.
func (s *Shipment) Run(ctx context.Context) (err error) {
	s.out = s.Opened
	defer func() {
		if s.out != nil {
			err = errors.Join(err, s.out.Close())
		}
	}()
	if s.at, err = readProgress(s.State); err != nil {
		return err
	}
	r, err := s.read()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if r.Lost() {
		s.Log.Warn("log lines were rotated away before they were delivered", "container", s.Info.ID, "driver", s.Driver)
	}
	hold, err := s.hold()
	if err != nil {
		return err
	}
	if hold != nil {
		defer func() { err = errors.Join(err, hold.Close()) }()
	}
	return errors.Join(s.deliver(ctx, &r, hold), s.save())
}

func (s *Shipment) read() (*logblock.Reader, error) {
	return logblock.Open(s.Dir, logblock.ReadOptions{Follow: true, Done: s.Done, From: &s.at.Position, Unpack: Unpack})
}

func (s *Shipment) blocking() bool { return s.Info.Options["mode"] != "non-blocking" }

func (s *Shipment) hold() (*logblock.Hold, error) {
	if !s.blocking() {
		return nil, nil
	}
	return logblock.NewHold(s.Dir, s.at.Segment)
}

func (s *Shipment) deliver(ctx context.Context, r **logblock.Reader, hold *logblock.Hold) error {
	for n := 1; ; n++ {
		e, err := s.next(ctx, *r)
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return nil //nolint:nilerr // both are how it ends
		case err != nil:
			return err
		}
		if err := s.write(ctx, &e); err != nil {
			return nil //nolint:nilerr // ctx has ended; the message is delivered by the next one
		}
		p := (*r).Position()
		if hold != nil && p.Segment != s.at.Segment {
			if err := hold.Set(p.Segment); err != nil {
				return err
			}
		}
		s.at.Position, s.dirty = p, true
		if n%lookEvery != 0 {
			continue
		}
		if hold == nil {
			if err := s.leaveOut(r); err != nil {
				return err
			}
		}
		if time.Since(s.saved) > saveEvery {
			if err := s.save(); err != nil {
				return err
			}
		}
	}
}

// next waits for a message, and saves what was done when there is none.
func (s *Shipment) next(ctx context.Context, r *logblock.Reader) (logblock.Entry, error) {
	for {
		if !s.dirty {
			return r.Next(ctx)
		}
		short, cancel := context.WithTimeout(ctx, saveEvery)
		e, err := r.Next(short)
		cancel()
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return e, err
		}
		if err := s.save(); err != nil {
			return e, err
		}
	}
}

// write hands a message over, however long that takes. The error is ctx's.
func (s *Shipment) write(ctx context.Context, e *logblock.Entry) error {
	m := s.message(e)
	pause := retryFirst
	for {
		err := s.tryWrite(m)
		if err == nil {
			return nil
		}
		s.Log.Warn("cannot deliver a log line; trying again", "container", s.Info.ID, "driver", s.Driver, "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMost)
	}
}

func (s *Shipment) tryWrite(m *driver.Message) (err error) {
	if s.out == nil {
		if s.Driver == "json-file" {
			s.out, err = driver.OpenJSONFile(s.Info, &s.at.Size)
		} else {
			s.out, err = driver.Open(s.Driver, s.Info)
		}
		if err != nil {
			s.out = nil
			return err
		}
	}
	if err := s.out.Write(m); err != nil {
		if s.Driver != "json-file" { // a connection that failed is made anew
			err = errors.Join(err, s.out.Close())
			s.out = nil
		}
		return err
	}
	if j, ok := s.out.(*driver.JSONFile); ok {
		s.at.Size = j.Size()
	}
	return nil
}

func (s *Shipment) message(e *logblock.Entry) *driver.Message {
	m := &driver.Message{Time: e.Time, Stderr: e.Stream == logblock.Stderr, Text: e.Line}
	part := &s.parts[e.Stream]
	if !e.Partial && !e.Continued {
		return m
	}
	if !e.Continued {
		*part = driver.Part{ID: s.Info.ID[:min(12, len(s.Info.ID))] + "-" + strconv.FormatInt(e.Time.UnixNano(), 36)}
	}
	part.Ordinal++
	part.Last = !e.Partial
	p := *part
	m.Part = &p
	return m
}

// leaveOut goes to the end if too much waits.
func (s *Shipment) leaveOut(r **logblock.Reader) error {
	limit := int64(bufferSize)
	if v := s.Info.Options["max-buffer-size"]; v != "" {
		if n, err := units.RAMInBytes(v); err == nil {
			limit = n
		}
	}
	behind, err := logblock.Behind(s.Dir, s.at.Position)
	if err != nil || behind <= limit {
		return err
	}
	s.Log.Warn("the log driver is too slow; lines are left out", "container", s.Info.ID, "driver", s.Driver, "bytes", behind)
	if s.at.Position, err = logblock.End(s.Dir); err != nil {
		return err
	}
	if err := (*r).Close(); err != nil {
		return err
	}
	*r, err = s.read()
	return err
}

func readProgress(path string) (progress, error) {
	var p progress
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func (s *Shipment) save() error {
	if !s.dirty {
		return nil
	}
	data, err := json.Marshal(s.at)
	if err != nil {
		return err
	}
	tmp := s.State + ".tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	s.dirty, s.saved = false, time.Now()
	return os.Rename(tmp, s.State)
}

// Pending tells whether lines in dir were not delivered yet, by the state file.
func Pending(dir, state string) bool {
	p, err := readProgress(state)
	if err != nil {
		return true
	}
	if p.Segment == 0 {
		entries, err := filepath.Glob(filepath.Join(dir, "*.bl?"))
		return err == nil && len(entries) > 0
	}
	n, err := logblock.Behind(dir, p.Position)
	return err == nil && n > 0
}
