package authz

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
)

// maxShown is how much of an answer a plugin is shown; a larger one, and a
// stream, is decided on by status and headers, before its first byte is sent.
const maxShown = 1 << 20

// Gate holds an answer back until the plugins allow it.
type Gate struct {
	w      http.ResponseWriter
	ask    func(status int, h http.Header, body []byte) error
	status int
	held   bytes.Buffer
	open   bool
	denied error
}

// NewGate makes a gate before w.
func NewGate(ctx context.Context, w http.ResponseWriter, c *Chain, m *Message) *Gate {
	return &Gate{w: w, ask: func(status int, h http.Header, body []byte) error {
		said := *m
		said.ResponseStatusCode, said.ResponseHeaders, said.ResponseBody = status, headers(h), body
		return c.Response(ctx, &said)
	}}
}

// Header is the answer's.
func (g *Gate) Header() http.Header { return g.w.Header() }

// WriteHeader sets the status of an answer that is still held back.
func (g *Gate) WriteHeader(code int) {
	if g.open {
		g.w.WriteHeader(code)
	} else if g.status == 0 {
		g.status = code
	}
}

// Write holds back, or sends, what has been allowed.
func (g *Gate) Write(p []byte) (int, error) {
	if g.denied != nil {
		return 0, g.denied
	}
	if !g.open && g.held.Len()+len(p) <= maxShown {
		return g.held.Write(p)
	}
	if err := g.release(nil); err != nil {
		return 0, err
	}
	return g.w.Write(p)
}

// FlushError is for http.ResponseController: the answer is a stream.
func (g *Gate) FlushError() error {
	if err := g.release(nil); err != nil {
		return err
	}
	return http.NewResponseController(g.w).Flush()
}

// Hijack is for http.ResponseController: the answer is a connection.
func (g *Gate) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !g.open && g.denied == nil {
		if g.denied = g.ask(http.StatusOK, g.w.Header(), nil); g.denied == nil {
			g.open = true
		}
	}
	if g.denied != nil {
		return nil, nil, g.denied
	}
	return http.NewResponseController(g.w).Hijack()
}

// Unwrap lets http.ResponseController set deadlines.
func (g *Gate) Unwrap() http.ResponseWriter { return g.w }

// Finish ends an answer; failed is the handler's error, for which the caller
// writes the answer.
func (g *Gate) Finish(failed error, status int) error {
	switch {
	case g.denied != nil:
		return g.denied
	case g.open:
		return failed
	case failed != nil:
		g.denied = g.ask(status, g.w.Header(), nil)
		if g.denied != nil {
			return g.denied
		}
		return failed
	}
	return g.release(g.held.Bytes())
}

func (g *Gate) release(body []byte) error {
	if g.open || g.denied != nil {
		return g.denied
	}
	if g.status == 0 {
		g.status = http.StatusOK
	}
	if g.denied = g.ask(g.status, g.w.Header(), body); g.denied != nil {
		g.held.Reset()
		for k := range g.w.Header() {
			if k == "Content-Length" || k == "Content-Type" {
				g.w.Header().Del(k)
			}
		}
		return g.denied
	}
	g.open = true
	g.w.WriteHeader(g.status)
	_, err := g.held.WriteTo(g.w)
	if errors.Is(err, http.ErrBodyNotAllowed) { // 204 and the like
		err = nil
	}
	return err
}
