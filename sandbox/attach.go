package sandbox

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/sandbox/monitor"
)

// AttachOptions choose the streams of an attachment.
type AttachOptions struct {
	// Stdin lets Write reach the container's standard input. With
	// Bundle.StdinOnce the end of the first such stream ends the input.
	Stdin bool
	// Stdout, Stderr deliver what the container writes from now on. With a
	// terminal all is Stdout.
	Stdout, Stderr bool
}

// A Stream is one attachment. Reading and writing may be done by two
// goroutines. Whoever does not read makes the container wait, once a bounded
// amount is under way, until Close.
type Stream struct {
	conn *monitor.Conn
	r    *bufio.Reader
	data []byte
}

// frameHead is the length of the header before each frame: stream, three
// zeros, length (big-endian), as in Docker's attach.
const frameHead = 8

// maxFrame is more than monitors send in one frame.
const maxFrame = 1 << 20

// Attach connects to the container's streams. Between Launch and Start it is
// certain to see every byte. After the end of the container the stream is at
// its end.
func (s *Sandbox) Attach(ctx context.Context, o AttachOptions) (_ *Stream, err error) {
	conn, err := monitor.Dial(s.r.dir(s.id))
	if err != nil {
		return nil, fmt.Errorf("attach %s: %w: %w", s.id, err, errdefs.ErrUnavailable)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("attach %s: %w", s.id, err), conn.Close())
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := greet(conn, s.instance); err != nil {
		return nil, err
	}
	m := request(2, monitor.OpAttach, &monitor.Attach{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr})
	if err := conn.Send(m); err != nil {
		return nil, err
	}
	if err := answer(conn, nil); err != nil {
		return nil, err
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return &Stream{conn: conn, r: bufio.NewReaderSize(conn.File(), 32<<10)}, nil
}

// Next returns the next piece of output: stream 1 (stdout) or 2 (stderr) and
// data, valid until the next call. io.EOF follows the last byte that the
// container wrote; a monitor that was killed ends the stream as well, which
// Wait tells.
func (s *Stream) Next() (stream byte, data []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[4:]))
	if n > maxFrame {
		return 0, nil, fmt.Errorf("attach: frame of %d bytes: %w", n, errdefs.ErrInternal)
	}
	s.data = slices.Grow(s.data[:0], n)[:n]
	if _, err := io.ReadFull(s.r, s.data); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return head[0], s.data, nil
}

// WriteTo copies all output to w as it comes: frames, each with Docker's
// 8-byte header. The error is nil when the output ended.
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	// What is buffered first; the rest may go from socket to socket.
	n, err := io.CopyN(w, s.r, int64(s.r.Buffered()))
	if err != nil {
		return n, err
	}
	m, err := io.Copy(w, s.conn.File())
	return n + m, err
}

// Write sends p to the container's standard input. It waits while the
// container does not read.
func (s *Stream) Write(p []byte) (int, error) { return s.conn.File().Write(p) }

// CloseWrite ends the input of this stream.
func (s *Stream) CloseWrite() error { return s.conn.CloseWrite() }

// SetReadDeadline makes reads that last longer fail with
// os.ErrDeadlineExceeded; zero: never.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.conn.File().SetReadDeadline(t) }

// Close detaches. Blocked reads and writes end, and the container no longer
// waits for this stream.
func (s *Stream) Close() error { return s.conn.Close() }
