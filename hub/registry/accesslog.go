package registry

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/audit"
)

// Access is one line of the access log. The query is left out: it carries the
// state of uploads.
type Access struct {
	Time      time.Time `json:"time"`
	Remote    string    `json:"remote"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Status    int       `json:"status"`
	Received  int64     `json:"received"` // bytes of the request's body
	Sent      int64     `json:"sent"`     // bytes of the response's body
	Millis    float64   `json:"ms"`
	UserAgent string    `json:"user_agent,omitempty"`
}

// AccessLog wraps next so that every request, once answered, is written to w
// as one line of JSON. Credentials are never part of it.
func AccessLog(w io.Writer, next http.Handler) http.Handler {
	var mu sync.Mutex
	encoder := json.NewEncoder(w)
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		start := time.Now()
		counted := &counter{ResponseWriter: rw, status: http.StatusOK}
		body := &countedBody{ReadCloser: req.Body}
		req.Body = body
		defer func() {
			remote := audit.Remote(req.Context())
			if remote == "" {
				remote = req.RemoteAddr
			}
			mu.Lock()
			defer mu.Unlock()
			// A log that cannot be written must not fail the request.
			_ = encoder.Encode(Access{
				Time: start.UTC(), Remote: remote, Method: req.Method, Path: req.URL.Path,
				Status: counted.status, Received: body.n, Sent: counted.n,
				Millis: float64(time.Since(start).Microseconds()) / 1000, UserAgent: req.UserAgent(),
			})
		}()
		next.ServeHTTP(counted, req)
	})
}

type counter struct {
	http.ResponseWriter
	status int
	n      int64
}

func (c *counter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

type countedBody struct {
	io.ReadCloser
	n int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}
