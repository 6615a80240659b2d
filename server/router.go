package server

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/server/authz"
	"github.com/berth-engine/berth/server/compat"
	"github.com/berth-engine/berth/trace"
)

// request is one request after routing.
type request struct {
	*http.Request
	version compat.Version
	name    string     // the variable part of the path
	query   url.Values // parameters of the URL; bodies are never read as parameters
}

// handler answers one operation. An error it returns is answered as such, if
// nothing was written yet.
type handler func(w http.ResponseWriter, r *request) error

// operation is one operation of the API. The path is the specification's, with
// at most one variable.
type operation struct {
	method, path string
	serve        handler
	state        string // "done", or why not
}

// router finds operations.
type router struct {
	literal map[string]*operation // by method, space, path
	pattern []*pattern
}

type pattern struct {
	op             *operation
	prefix, suffix string
}

func newRouter(ops []operation) *router {
	rt := &router{literal: map[string]*operation{}}
	for i := range ops {
		op := &ops[i]
		open, end := strings.IndexByte(op.path, '{'), strings.IndexByte(op.path, '}')
		if open < 0 {
			rt.literal[op.method+" "+op.path] = op
			continue
		}
		rt.pattern = append(rt.pattern, &pattern{op, op.path[:open], op.path[end+1:]})
	}
	return rt
}

// find returns the operation for a path without version, and the value of its
// variable, which may contain slashes. The most specific pattern wins.
func (rt *router) find(method, path string) (op *operation, name string) {
	if op, ok := rt.literal[method+" "+path]; ok {
		return op, ""
	}
	best := -1
	for _, p := range rt.pattern {
		fixed := len(p.prefix) + len(p.suffix)
		if p.op.method == method && fixed > best && len(path) > fixed && strings.HasPrefix(path, p.prefix) && strings.HasSuffix(path, p.suffix) {
			op, name, best = p.op, path[len(p.prefix):len(path)-len(p.suffix)], fixed
		}
	}
	return op, name
}

// splitVersion separates "/v1.41/info" into "1.41" and "/info".
func splitVersion(path string) (version, rest string) {
	after, ok := strings.CutPrefix(path, "/v")
	if !ok || after == "" || after[0] < '0' || after[0] > '9' {
		return "", path
	}
	version, rest, ok = strings.Cut(after, "/")
	if !ok || strings.Trim(version, "0123456789.") != "" {
		return "", path
	}
	return version, "/" + rest
}

// answer remembers whether anything was written.
type answer struct {
	http.ResponseWriter
	started bool
	trace   *trace.Trace // nil: nobody asks
}

func (a *answer) WriteHeader(code int) {
	a.start()
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) start() {
	if !a.started && a.trace != nil {
		a.trace.Mark("answer")
		a.Header().Set(api.TimingHeader, timing(a.trace))
	}
	a.started = true
}

func (a *answer) Write(p []byte) (int, error) {
	a.start()
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w, began := &answer{ResponseWriter: rw}, time.Now()
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares so, too
			panic(p)
		}
		s.log.Error("panic in a handler", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		if !w.started {
			writeError(w, fmt.Errorf("internal error: the daemon's log tells more"))
		}
	}()
	h := w.Header()
	h.Set("Server", "Berth/"+s.o.About.Version+" ("+runtime.GOOS+")")
	h.Set("Api-Version", compat.Newest.String())
	h.Set("Ostype", runtime.GOOS)
	h.Set("Docker-Experimental", "false")
	err := s.serve(w, r)
	switch {
	case err == nil:
		s.log.Debug("request served", "method", r.Method, "path", r.URL.Path, "took", time.Since(began))
	case w.started:
		s.log.Debug("answer broken off", "method", r.Method, "path", r.URL.Path, "error", err)
	default:
		if code := status(err); code >= http.StatusInternalServerError && code != http.StatusNotImplemented && r.Context().Err() == nil {
			s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "status", code, "error", err)
		} else {
			s.log.Debug("request refused", "method", r.Method, "path", r.URL.Path, "status", code, "error", err)
		}
		writeError(w, err)
	}
}

func (s *Server) serve(w *answer, r *http.Request) (err error) {
	if err := s.checkOrigin(r); err != nil {
		return err
	}
	given, path := splitVersion(r.URL.Path)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	op, name := s.routes.find(r.Method, path)
	if op == nil {
		return errPageNotFound
	}
	version := compat.Newest
	if given != "" {
		if version, err = compat.ParseVersion(given); err != nil {
			return invalid(err.Error())
		}
	}
	if version.Less(compat.Oldest) {
		return invalid(fmt.Sprintf("client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", given, compat.Oldest))
	}
	if compat.Newest.Less(version) {
		return invalid(fmt.Sprintf("client version %s is too new. Maximum supported API version is %s", given, compat.Newest))
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid(err.Error())
	}
	req := &request{Request: r, version: version, name: name, query: query}
	end := s.traced(w, req, op)
	defer func() { end(err) }()
	if names := s.o.Authz(); len(names) > 0 {
		return s.authorized(w, req, op, authz.New(s.o.Plugins, names))
	}
	return s.do(w, req, op)
}

// do serves an operation, and measures what it took if it was done.
func (s *Server) do(w http.ResponseWriter, r *request, op *operation) error {
	began := time.Now()
	err := op.serve(w, r)
	if err == nil {
		s.measured.observe(op, time.Since(began))
	}
	return err
}
