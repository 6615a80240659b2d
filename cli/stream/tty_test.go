package stream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// TestRawRestored attaches with a real terminal and looks at its mode before,
// while, and after, on every way out.
func TestRawRestored(t *testing.T) {
	for name, end := range map[string]func(cancel func(), master *os.File, daemon io.WriteCloser){
		"container ends": func(_ func(), _ *os.File, d io.WriteCloser) { d.Close() },
		"cancelled":      func(cancel func(), _ *os.File, _ io.WriteCloser) { cancel() },
		"detached":       func(_ func(), m *os.File, _ io.WriteCloser) { _, _ = m.Write([]byte{16, 17}) },
	} {
		t.Run(name, func(t *testing.T) {
			master, slave, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer master.Close()
			defer slave.Close()
			before, err := term.GetState(int(slave.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			conn, daemon := pair(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a := &Attachment{IO: &IO{In: slave, Out: slave, Err: slave}, Conn: conn, Stdin: true, Stdout: true, TTY: true}
			done := make(chan error, 1)
			go func() { done <- a.Run(ctx) }()
			// Ctrl-C arrives as a byte only in raw mode; the terminal may not
			// be there yet when it is typed, so type until it does.
			read := make(chan byte, 1)
			go func() {
				b := make([]byte, 1)
				if _, err := daemon.Read(b); err == nil {
					read <- b[0]
				}
			}()
			raw, err := daemon.Write([]byte("ready"))
			if err != nil || raw != 5 {
				t.Fatal(err)
			}
			r := bufio.NewReader(master)
			if _, err := r.Discard(5); err != nil { // output flows, so Run is past Raw
				t.Fatal(err)
			}
			if _, err := master.Write([]byte{3}); err != nil {
				t.Fatal(err)
			}
			if c := <-read; c != 3 {
				t.Errorf("read %d", c)
			}
			end(cancel, master, daemon)
			err = <-done
			if name == "detached" && !errors.Is(err, ErrDetached) || name == "cancelled" && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			after, err := term.GetState(int(slave.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			if *before != *after {
				t.Errorf("the terminal was left in another mode: %+v, %+v", before, after)
			}
		})
	}
}

func TestFollowSize(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	s := &IO{In: slave, Out: slave, Err: slave}
	ctx, cancel := context.WithCancel(t.Context())
	sizes := make(chan [2]uint, 8)
	done := make(chan struct{})
	tries := 0
	go func() {
		defer close(done)
		s.FollowSize(ctx, func(_ context.Context, rows, cols uint) error {
			if tries++; tries < 3 {
				return errors.New("not ready")
			}
			sizes <- [2]uint{rows, cols}
			return nil
		})
	}()
	if got := <-sizes; got != [2]uint{30, 100} {
		t.Errorf("got %v", got)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 40, Cols: 90}); err != nil {
		t.Fatal(err)
	}
	// The test's own terminal is not the controlling one, so it must signal
	// itself.
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if got := <-sizes; got != [2]uint{40, 90} {
		t.Errorf("got %v", got)
	}
	cancel()
	<-done
	signal.Reset(syscall.SIGWINCH)
}
