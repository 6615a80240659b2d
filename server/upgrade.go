package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// session lets a client's connection be asked for files and secrets.
func (s *Server) session(w http.ResponseWriter, r *request) error {
	header := r.Header.Clone()
	return s.upgraded(w, r, func(ctx context.Context, conn net.Conn) error {
		return s.o.Builds.Session(ctx, conn, header)
	})
}

// grpc is BuildKit's own API.
func (s *Server) grpc(w http.ResponseWriter, r *request) error {
	return s.upgraded(w, r, s.o.Builds.Serve)
}

// upgraded serves a client on its connection in HTTP/2, which it has asked for.
func (s *Server) upgraded(w http.ResponseWriter, r *request, serve func(context.Context, net.Conn) error) error {
	switch proto := r.Header.Get("Upgrade"); proto {
	case "h2c":
	case "":
		return invalid("no upgrade proto in request")
	default:
		return invalid(fmt.Sprintf("protocol %s not supported", proto))
	}
	ctx, cancel := s.stream(context.WithoutCancel(r.Context()))
	defer cancel()
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	if a, ok := w.(*answer); ok {
		a.started = true
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"); err != nil {
		return nil
	}
	ahead, _ := buf.Reader.Peek(buf.Reader.Buffered())
	err = serve(ctx, &readAhead{Conn: conn, r: io.MultiReader(strings.NewReader(string(ahead)), conn)})
	if err != nil && ctx.Err() == nil {
		s.log.Debug("end of an upgraded connection", "path", r.URL.Path, "error", err)
	}
	return nil
}

// readAhead is a connection of which net/http has read something already.
type readAhead struct {
	net.Conn
	r io.Reader
}

func (c *readAhead) Read(p []byte) (int, error) { return c.r.Read(p) }
