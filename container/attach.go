package container

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/container/logs"
	"github.com/berth-engine/berth/sandbox"
)

// errDetached ends an attachment by the keys for it.
var errDetached = errors.New("detached")

var errClientGone = errors.New("the client is gone")

// Attach connects a client with the container's streams. It may come before
// the start: then it waits for it. It returns when the container ends, the
// client goes away, or the detach keys are typed.
func (s *Service) Attach(ctx context.Context, ref string, o AttachOptions, hijack Hijack) error {
	e, err := s.find(ref)
	if err != nil {
		return err
	}
	if o.DetachKeys == "" {
		o.DetachKeys = s.defaults.DetachKeys
	}
	keys, err := parseKeys(o.DetachKeys)
	if err != nil {
		return err
	}
	r := e.record()
	switch r.State {
	case Paused:
		return conflict("container %s is paused, unpause the container before attach", e.id)
	case Restarting:
		return conflict("container %s is restarting, wait until the container is running", e.id)
	case Removing, Dead:
		return conflict("container %s is marked for removal", e.id)
	case Created, Starting, Running, Stopping, Exited:
	}
	var p *pending
	if o.Stream {
		p, err = e.streams.join(ctx, sandbox.AttachOptions{Stdin: o.Stdin && r.Config.OpenStdin, Stdout: o.Stdout, Stderr: o.Stderr})
		if err != nil {
			return err
		}
		defer e.streams.leave(p)
	}
	conn, err := hijack(!r.Config.Tty)
	if err != nil {
		return err
	}
	s.announce(r, events.ActionAttach)
	a := attachment{conn: conn, tty: r.Config.Tty, raw: r.Config.Tty, stdin: o.Stdin && r.Config.OpenStdin, keys: keys}
	defer a.hangUp()
	if o.Logs {
		if err := s.replay(ctx, r, o, conn); err != nil {
			return err
		}
	}
	if !o.Stream {
		return nil
	}
	err = a.serve(ctx, p)
	switch {
	case errors.Is(err, errDetached):
		s.announce(r, events.ActionDetach)
		return nil
	case errors.Is(err, errClientGone):
		return nil
	}
	return err
}

// replay writes what the container said before.
func (s *Service) replay(ctx context.Context, r *Record, o AttachOptions, w io.Writer) error {
	if r.HostConfig.LogConfig.Type == logNone {
		return nil
	}
	lo := logs.Options{Stdout: o.Stdout, Stderr: o.Stderr, Until: s.clock.now(), Tail: -1, Framed: !r.Config.Tty}
	return logs.Copy(ctx, filepath.Join(s.records.dir(r.ID), logDir), lo, w)
}

// attachment is one client on one run.
type attachment struct {
	conn  Conn
	tty   bool // the keys for it detach
	raw   bool // output goes without frames
	stdin bool
	keys  []byte
	// settled, if any, is waited for between the end of the output and telling
	// the client of it: who then asks how it ended gets an answer.
	settled <-chan struct{}

	once sync.Once
}

// hangUp closes the connection to the client, once.
func (a *attachment) hangUp() { a.once.Do(func() { _ = a.conn.Close() }) }

// serve copies in both directions. Whichever ends it, both copies have ended
// when it returns.
func (a *attachment) serve(ctx context.Context, p *pending) error {
	started := make(chan *sandbox.Stream, 1)
	stopped := make(chan struct{})
	input := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { input <- a.copyIn(started, stopped) })
	defer wg.Wait()
	defer a.hangUp()
	defer close(stopped)

	stream, err := a.await(ctx, p, input)
	if stream == nil {
		return err
	}
	started <- stream

	output := make(chan struct{})
	wg.Go(func() {
		defer close(output)
		a.copyOut(stream)
		if a.settled != nil {
			select {
			case <-a.settled:
			case <-stopped:
			case <-ctx.Done():
			}
		}
		_ = a.conn.CloseWrite() // the client may be gone
	})
	defer stream.Close() // before wg.Wait: it ends copyOut
	for {
		select {
		case <-output:
			return nil
		case <-ctx.Done():
			return nil
		case err := <-input:
			if err != nil {
				return err
			}
			input = nil // half closed: the output goes on
		}
	}
}

// await returns the stream once the container starts; nil, if it does not, or
// the client goes away before.
func (a *attachment) await(ctx context.Context, p *pending, input chan error) (*sandbox.Stream, error) {
	for {
		select {
		case got := <-p.ready:
			if errors.Is(got.err, errNotStarted) {
				return nil, nil
			}
			return got.stream, got.err
		case <-ctx.Done():
			return nil, nil
		case err := <-input:
			if err != nil {
				return nil, err
			}
			input = nil
		}
	}
}

// copyIn carries what the client types. Without stdin it only notices a broken
// connection. nil: the client has ended its input.
func (a *attachment) copyIn(started <-chan *sandbox.Stream, stopped <-chan struct{}) error {
	var stream *sandbox.Stream
	wait := func() bool {
		if stream == nil {
			select {
			case stream = <-started:
			case <-stopped:
			}
		}
		return stream != nil
	}
	m := matcher{keys: a.keys}
	buf := make([]byte, 16<<10)
	for {
		n, err := a.conn.Read(buf)
		if n > 0 && a.stdin {
			data, detach := buf[:n], false
			if a.tty {
				data, detach = m.feed(data)
			}
			if !wait() {
				return nil
			}
			if len(data) > 0 {
				if _, werr := stream.Write(data); werr != nil {
					return nil //nolint:nilerr // the container has closed its input, or ended
				}
			}
			if detach {
				return errDetached
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if a.stdin && wait() {
				if held := m.held(); len(held) > 0 {
					_, _ = stream.Write(held) // the container may have ended
				}
				_ = stream.CloseWrite()
			}
			return nil
		case err != nil:
			return errClientGone
		}
	}
}

// copyOut carries what the container writes, raw from a terminal and in frames
// otherwise.
func (a *attachment) copyOut(stream *sandbox.Stream) {
	if !a.raw {
		_, _ = stream.WriteTo(a.conn) // that one side goes away is how it ends
		return
	}
	for {
		_, data, err := stream.Next()
		if err != nil {
			return
		}
		if _, err := a.conn.Write(data); err != nil {
			return
		}
	}
}
