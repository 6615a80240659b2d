package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
	"github.com/moby/term"
)

// ErrDetached says that the user typed the detach keys; the container goes on.
var ErrDetached = errors.New("read escape sequence")

// DefaultDetachKeys are ctrl-p ctrl-q.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// Attachment copies between this process and an attached container.
type Attachment struct {
	IO         *IO
	Conn       client.HijackedResponse
	Stdin      bool // send input
	Stdout     bool
	Stderr     bool
	TTY        bool   // the container has a terminal: one output, raw input
	DetachKeys string // empty: DefaultDetachKeys; only with TTY and Stdin
}

// Run copies until the container's output ends, or until input ends if no
// output is wanted. The end of input is passed on as a half-close, output
// still flows. It returns ErrDetached after the detach keys, and ctx's error
// when ctx ends first. The terminal is as before when Run returns.
//
// The read of standard input cannot be interrupted; it may outlive Run, until
// the process ends.
func (a *Attachment) Run(ctx context.Context) error {
	restore := func() {}
	if a.Stdin && a.TTY {
		var err error
		if restore, err = a.IO.Raw(); err != nil {
			return fmt.Errorf("unable to set IO streams as raw terminal: %w", err)
		}
	}
	defer restore()

	in := make(chan error, 1)
	// Set before the daemon learns of the keys: it closes the connection at
	// once, and the end of output must not be taken for the container's.
	var detached atomic.Bool
	go func() { in <- a.input(&detached) }()
	var out chan error // nil: never ready
	if a.Stdout || a.Stderr {
		out = make(chan error, 1)
		go func() { out <- a.output() }()
	}
	for {
		select {
		case err := <-out:
			if detached.Load() {
				return ErrDetached
			}
			return err
		case err := <-in:
			if errors.Is(err, ErrDetached) || out == nil {
				return err
			}
			in = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *Attachment) output() error {
	if a.TTY {
		_, err := io.Copy(a.IO.Out, a.Conn.Reader)
		return err
	}
	out, errs := io.Discard, io.Discard
	if a.Stdout {
		out = a.IO.Out
	}
	if a.Stderr {
		errs = a.IO.Err
	}
	_, err := stdcopy.StdCopy(out, errs, a.Conn.Reader)
	return err
}

func (a *Attachment) input(detached *atomic.Bool) error {
	if a.Stdin {
		in := a.IO.In
		var keys []byte
		if a.TTY {
			keys = a.detachKeys()
			in = term.NewEscapeProxy(in, keys)
		}
		if _, err := io.Copy(a.Conn.Conn, in); errors.As(err, &term.EscapeError{}) {
			// The daemon is told by the keys themselves: a connection that
			// only ends would be taken for a client that died.
			detached.Store(true)
			_, _ = a.Conn.Conn.Write(keys)
			return ErrDetached
		}
		// Other errors show on the output side, where they end Run.
	}
	_ = a.Conn.CloseWrite()
	return nil
}

// detachKeys falls back to the default for keys that cannot be parsed, as a
// bad setting must not lock the user in.
func (a *Attachment) detachKeys() []byte {
	for _, s := range []string{a.DetachKeys, DefaultDetachKeys} {
		if b, err := term.ToBytes(s); s != "" && err == nil {
			return b
		}
	}
	return nil
}
