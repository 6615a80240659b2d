package stream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/moby/client"
	"github.com/moby/term"
)

// pair is a connected unix socket: the attachment's end and the daemon's.
func pair(t *testing.T) (client.HijackedResponse, *net.UnixConn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return client.HijackedResponse{Conn: ours, Reader: bufio.NewReader(ours)}, theirs.(*net.UnixConn)
}

func TestAttachmentStreams(t *testing.T) {
	conn, daemon := pair(t)
	var out, errs bytes.Buffer
	a := &Attachment{IO: &IO{In: strings.NewReader("input"), Out: &out, Err: &errs}, Conn: conn, Stdin: true, Stdout: true, Stderr: true}
	go func() {
		in, _ := io.ReadAll(daemon) // ends by the half-close
		_, _ = daemon.Write(append([]byte{1, 0, 0, 0, 0, 0, 0, byte(len(in))}, in...))
		_, _ = daemon.Write([]byte{2, 0, 0, 0, 0, 0, 0, 1, 'e'})
		daemon.Close()
	}()
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "input" || errs.String() != "e" {
		t.Errorf("got %q, %q", &out, &errs)
	}
}

func TestAttachmentInputOnly(t *testing.T) {
	conn, daemon := pair(t)
	a := &Attachment{IO: &IO{In: strings.NewReader("x")}, Conn: conn, Stdin: true}
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(daemon); string(got) != "x" {
		t.Errorf("got %q", got)
	}
}

func TestAttachmentCancelled(t *testing.T) {
	conn, _ := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &Attachment{IO: &IO{In: strings.NewReader(""), Out: io.Discard}, Conn: conn, Stdout: true}
	if err := a.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDetachKeys(t *testing.T) {
	for keys, typed := range map[string]string{
		"":                "ab\x10\x11",
		"ctrl-x":          "ab\x18",
		"no such key":     "ab\x10\x11", // the default
		"ctrl-a,d":        "ab\x01d",
		"ctrl-p,ctrl-q,x": "ab\x10\x11x",
	} {
		conn, daemon := pair(t)
		r, w := io.Pipe()
		a := &Attachment{IO: &IO{In: r, Out: io.Discard}, Conn: conn, Stdin: true, Stdout: true, TTY: true, DetachKeys: keys}
		go func() {
			for _, c := range []byte(typed) {
				_, _ = w.Write([]byte{c})
			}
		}()
		if err := a.Run(t.Context()); !errors.Is(err, ErrDetached) {
			t.Errorf("%q: got %v", keys, err)
		}
		conn.Close()
		if got, _ := io.ReadAll(daemon); string(got) != typed {
			t.Errorf("%q: the daemon read %q", keys, got)
		}
		w.Close()
	}
}

// hasty is a daemon that closes the connection on the first byte of input, and
// whose client is slow to come back from sending it.
type hasty struct {
	net.Conn
	daemon   net.Conn
	returned chan struct{}
}

func (h *hasty) Write(p []byte) (int, error) {
	h.daemon.Close()
	<-h.returned
	return len(p), nil
}

// TestDetachBeforeEnd: the end of output that detaching causes may be seen
// before the input side is done. It is a detach all the same.
func TestDetachBeforeEnd(t *testing.T) {
	conn, daemon := pair(t)
	h := &hasty{conn.Conn, daemon, make(chan struct{})}
	defer close(h.returned)
	conn.Conn = h
	a := &Attachment{IO: &IO{In: bytes.NewReader([]byte{16, 17}), Out: io.Discard}, Conn: conn, Stdin: true, Stdout: true, TTY: true}
	if err := a.Run(t.Context()); !errors.Is(err, ErrDetached) {
		t.Errorf("got %v", err)
	}
}

func TestForwardName(t *testing.T) {
	for sig, want := range map[os.Signal]string{
		os.Interrupt: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGUSR1: "USR1",
		syscall.SIGCHLD: "", syscall.SIGPIPE: "", syscall.SIGURG: "", syscall.SIGWINCH: "",
		syscall.SIGABRT: "ABRT",
	} {
		if got := forwardName(sig); got != want {
			t.Errorf("%v: got %q, want %q", sig, got, want)
		}
	}
}

func TestForward(t *testing.T) {
	s := CatchSignals()
	defer s.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Forward(ctx, func(_ context.Context, name string) error { got <- name; return nil })
	}()
	if name := <-got; name != "USR2" {
		t.Errorf("got %q", name)
	}
	cancel()
	<-done
}

func TestNoTerminal(t *testing.T) {
	s := &IO{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
	if rows, cols := s.Size(); rows != 0 || cols != 0 || s.InTTY() || s.OutTTY() || s.ErrTTY() {
		t.Error("buffers are no terminals")
	}
	if err := s.CheckTTY(true, true); !errors.Is(err, ErrNotTTY) {
		t.Errorf("got %v", err)
	}
	if err := s.CheckTTY(false, true); err != nil {
		t.Errorf("got %v", err)
	}
	restore, err := s.Raw()
	if err != nil {
		t.Fatal(err)
	}
	restore()
	if _, err := term.ToBytes(DefaultDetachKeys); err != nil {
		t.Error(err)
	}
}
