package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types"
	"golang.org/x/net/websocket"

	engine "github.com/berth-engine/berth/container"
)

// goneInterval is how often a taken-over connection is checked for a client that
// went away without reading.
const goneInterval = time.Second

// lingerTime bounds the wait for a client to close its side at the end.
const lingerTime = 5 * time.Second

// hijacked is a connection taken over from net/http.
type hijacked struct {
	net.Conn
	r      io.Reader // what net/http had read ahead, then the connection
	closed chan struct{}
	once   sync.Once
}

func (h *hijacked) Read(p []byte) (int, error) { return h.r.Read(p) }

// Close ends what the engine does with the connection: the client sees the end
// of the output, a Read that waits returns. The rest is up to finish.
func (h *hijacked) Close() error {
	var err error
	h.once.Do(func() {
		close(h.closed)
		err = errors.Join(h.CloseWrite(), h.SetReadDeadline(time.Unix(1, 0)))
	})
	return err
}

// CloseWrite tells the client that nothing more comes.
func (h *hijacked) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// abort drops the connection.
func (h *hijacked) abort() {
	_ = h.Close()
	_ = h.Conn.Close()
}

// finish closes the connection so that a client gets all that was written:
// closing at once, with input unread, would throw the rest away on TCP.
func (h *hijacked) finish() {
	if h.Close() == nil {
		_ = h.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.Copy(io.Discard, h.Conn)
	}
	_ = h.Conn.Close()
}

// watch calls gone when the client has closed its connection altogether. A
// client that only closed its sending side, as one without input does at once,
// is still there: reading cannot tell the two apart, an empty write can.
func (h *hijacked) watch(every time.Duration, gone func()) {
	raw := h.Conn
	if t, ok := raw.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-h.closed:
			return
		case <-tick.C:
			if _, err := raw.Write(nil); err != nil {
				gone()
				return
			}
		}
	}
}

func (s *Server) containerAttach(w http.ResponseWriter, r *request) error {
	return s.attached(w, r, func(ctx context.Context, hijack engine.Hijack) error {
		return s.o.Containers.Attach(ctx, r.name, attachOptions(r), hijack)
	})
}

// attached serves a client on its connection, which serve takes over unless it
// refuses at once.
func (s *Server) attached(w http.ResponseWriter, r *request, serve func(context.Context, engine.Hijack) error) error {
	// net/http ends the request's context when the client closes its sending
	// side before we take the connection over; that is not leaving (see watch).
	ctx, cancel := s.stream(context.WithoutCancel(r.Context()))
	defer cancel()
	var conn *hijacked
	err := serve(ctx, func(multiplexed bool) (engine.Conn, error) {
		c, err := hijack(w, r, multiplexed)
		if err != nil {
			return nil, err
		}
		conn = c
		s.hijacked.Go(func() { c.watch(s.goneEvery, cancel) })
		context.AfterFunc(ctx, c.abort)
		return c, nil
	})
	if conn == nil {
		return err
	}
	if err != nil && ctx.Err() == nil {
		s.log.Debug("attached client's end", "path", r.URL.Path, "error", err)
	}
	conn.finish()
	return nil
}

func attachOptions(r *request) engine.AttachOptions {
	return engine.AttachOptions{
		Stream: r.flag("stream"), Logs: r.flag("logs"),
		Stdin: r.flag("stdin"), Stdout: r.flag("stdout"), Stderr: r.flag("stderr"),
		DetachKeys: r.query.Get("detachKeys"),
	}
}

// hijack takes over the connection and answers the request on it: 101 for
// clients that asked for an upgrade, else 200.
func hijack(w http.ResponseWriter, r *request, multiplexed bool) (*hijacked, error) {
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("error attaching to container %s, hijack connection missing: %w", r.name, err)
	}
	if a, ok := w.(*answer); ok {
		a.started = true
	}
	_ = c.SetDeadline(time.Time{})
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + types.MediaTypeRawStream + "\r\n\r\n"
	if r.Header.Get("Upgrade") != "" {
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + streamType(r, multiplexed) + "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
	}
	if _, err := io.WriteString(c, head); err != nil {
		_ = c.Close()
		return nil, err
	}
	ahead, _ := buf.Reader.Peek(buf.Reader.Buffered())
	return &hijacked{Conn: c, r: io.MultiReader(strings.NewReader(string(ahead)), c), closed: make(chan struct{})}, nil
}

func streamType(r *request, multiplexed bool) string {
	if multiplexed && r.version.Has(42) {
		return types.MediaTypeMultiplexedStream
	}
	return types.MediaTypeRawStream
}

// containerAttachWS is attach over a web socket. Its messages are the plain
// output; the two streams are not told apart.
func (s *Server) containerAttachWS(w http.ResponseWriter, r *request) error {
	o := attachOptions(r)
	if !r.version.Has(42) {
		o.Stdin, o.Stdout, o.Stderr = true, true, true
	}
	// Unknown containers get their 404 before the protocol changes.
	if _, err := s.o.Containers.Inspect(r.Context(), r.name, false); err != nil {
		return err
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return invalid("not a websocket request")
	}
	s.hijacked.Add(1)
	defer s.hijacked.Done()
	ctx, cancel := s.stream(context.WithoutCancel(r.Context()))
	defer cancel()
	websocket.Server{Handler: func(ws *websocket.Conn) {
		if r.version.Has(28) {
			ws.PayloadType = websocket.BinaryFrame
		}
		stop := context.AfterFunc(ctx, func() { _ = ws.Close() })
		defer stop()
		err := s.o.Containers.Attach(ctx, r.name, o, func(multiplexed bool) (engine.Conn, error) {
			c := &webConn{Conn: ws}
			if multiplexed {
				c.frames = &unframe{w: ws}
			}
			return c, nil
		})
		if err != nil {
			s.log.Debug("attach by web socket ended", "container", r.name, "error", err)
		}
	}}.ServeHTTP(bufferedHijacker{w}, r.Request)
	return nil
}

// bufferedHijacker lets the websocket package find Hijack on a wrapped writer.
type bufferedHijacker struct{ http.ResponseWriter }

func (b bufferedHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if a, ok := b.ResponseWriter.(*answer); ok {
		a.started = true
	}
	return http.NewResponseController(b.ResponseWriter).Hijack()
}

// webConn is a web socket as the engine's connection.
type webConn struct {
	*websocket.Conn
	frames *unframe
}

func (c *webConn) Write(p []byte) (int, error) {
	if c.frames != nil {
		return c.frames.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *webConn) CloseWrite() error { return c.Close() }

// unframe takes Docker's framed stream and passes on the payloads.
type unframe struct {
	w    io.Writer
	head []byte // of the frame that comes, while incomplete
	left uint32 // payload bytes that belong to the current frame
}

func (u *unframe) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if u.left == 0 {
			take := min(8-len(u.head), len(p))
			u.head, p = append(u.head, p[:take]...), p[take:]
			if len(u.head) == 8 {
				u.left, u.head = binary.BigEndian.Uint32(u.head[4:]), u.head[:0]
			}
			continue
		}
		take := min(int(u.left), len(p))
		if _, err := u.w.Write(p[:take]); err != nil {
			return 0, err
		}
		u.left, p = u.left-uint32(take), p[take:]
	}
	return n, nil
}

func (s *Server) containerLogs(w http.ResponseWriter, r *request) error {
	o := engine.LogsOptions{
		Follow: r.flag("follow"), Stdout: r.flag("stdout"), Stderr: r.flag("stderr"),
		Timestamps: r.flag("timestamps"), Details: r.flag("details"), Tail: -1,
	}
	if !o.Stdout && !o.Stderr {
		return invalid("Bad parameters: you must choose at least one stream")
	}
	var err error
	if o.Since, err = timestamp(r.query.Get("since")); err != nil {
		return invalid("invalid value for \"since\": " + err.Error())
	}
	if o.Until, err = timestamp(r.query.Get("until")); err != nil {
		return invalid("invalid value for \"until\": " + err.Error())
	}
	if text := r.query.Get("grep"); text != "" { // Berth's own
		if o.Grep, err = regexp.Compile(text); err != nil {
			return invalid("invalid value for \"grep\": " + err.Error())
		}
	}
	if n, err := strconv.Atoi(r.query.Get("tail")); err == nil && n >= 0 {
		o.Tail = n
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	var out *flushWriter
	framed := false
	err = s.o.Containers.Logs(ctx, r.name, o, func(multiplexed bool) io.Writer {
		framed = multiplexed
		w.Header().Set("Content-Type", streamType(r, multiplexed))
		w.WriteHeader(http.StatusOK)
		out = newFlushWriter(w)
		_, _ = out.Write(nil)
		return out
	})
	if out == nil || err == nil || ctx.Err() != nil {
		return err
	}
	// The status is spent: what is left is to say it in the stream.
	text := "Error grabbing logs: " + err.Error() + "\n"
	if framed {
		head := [8]byte{3} // the daemon's own errors
		binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
		text = string(head[:]) + text
	}
	_, _ = io.WriteString(out, text)
	return err
}

// flushWriter sends what is written at once.
type flushWriter struct {
	w io.Writer
	c *http.ResponseController
}

func newFlushWriter(w http.ResponseWriter) *flushWriter {
	return &flushWriter{w, http.NewResponseController(w)}
}

func (f *flushWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	return n, errors.Join(err, f.c.Flush())
}

// timestamp reads seconds since 1970, with an optional fraction; "" is the zero
// time.
func timestamp(s string) (time.Time, error) {
	if s == "" || s == "0" {
		return time.Time{}, nil
	}
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a number of seconds since 1970", s)
	}
	var nsec uint64
	if frac != "" {
		if nsec, err = strconv.ParseUint((frac + "000000000")[:9], 10, 64); err != nil {
			return time.Time{}, fmt.Errorf("%q is not a number of seconds since 1970", s)
		}
	}
	// What is beyond the year 2262 is later than all that is compared with it.
	const latest = math.MaxInt64 / int64(time.Second)
	return time.Unix(min(max(sec, -latest), latest), int64(nsec)), nil
}
