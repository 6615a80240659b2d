package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/containerd/errdefs"
)

func (s *Site) buildRoutes(at func(pattern string, h func(*visit) error)) {
	at("GET /builds", (*visit).builds)
	at("GET /builds/{build}", (*visit).build)
	at("GET /builds/{build}/log", (*visit).buildLog)
	at("GET /builds/{build}/stream", (*visit).buildStream)
	at("POST /builds/{build}/cancel", (*visit).cancelBuild)
	at("POST /builds/{build}/again", (*visit).buildAgain)
	at("GET /settings/builds", (*visit).source)
	at("POST /settings/builds", (*visit).setSource)
	at("POST /settings/builds/delete", (*visit).removeSource)
}

var errNotWriter = fmt.Errorf("builds and their logs are for who may push to this repository: %w", errdefs.ErrPermissionDenied)

// written is repository for who may push: logs may hold what is not for everybody.
func (v *visit) written() (repoView, error) {
	repo, err := v.repository()
	if err == nil && !repo.CanWrite {
		err = errNotWriter
	}
	return repo, err
}

type buildsBody struct {
	Repo   repoView
	Builds []autobuild.Build
	Source bool
}

func (v *visit) builds() error {
	repo, err := v.written()
	if err != nil {
		return err
	}
	list, err := v.Builds.Builds(v.ctx(), v.by, repo.Name)
	if err != nil {
		return err
	}
	_, err = v.Builds.Source(v.ctx(), v.by, repo.Name)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return v.show("builds", repo.page("builds", "", buildsBody{repo, list, err == nil}))
}

type buildBody struct {
	Repo  repoView
	Build autobuild.Build
	Log   string
	Cut   bool // the log's beginning is left out
	Took  time.Duration
}

// shownLog is how much of a log is part of its page.
const shownLog = 256 << 10

func (v *visit) oneBuild() (repoView, autobuild.Build, error) {
	repo, err := v.written()
	if err != nil {
		return repo, autobuild.Build{}, err
	}
	b, err := v.Builds.Build(v.ctx(), v.by, repo.Name, v.r.PathValue("build"))
	return repo, b, err
}

func (v *visit) build() error {
	repo, b, err := v.oneBuild()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := v.Builds.WriteLog(v.ctx(), v.by, repo.Name, b.ID, false, &text, func() error { return nil }); err != nil {
		return err
	}
	body := buildBody{Repo: repo, Build: b, Log: strings.ToValidUTF8(text.String(), "�")}
	if len(body.Log) > shownLog {
		_, body.Log, _ = strings.Cut(body.Log[len(body.Log)-shownLog:], "\n")
		body.Cut = true
	}
	if !b.Started.IsZero() {
		end := b.Ended
		if end.IsZero() {
			end = time.Now()
		}
		body.Took = end.Sub(b.Started).Round(time.Second)
	}
	return v.show("build", repo.page("builds", "", body))
}

// buildLog is the whole log, as text.
func (v *visit) buildLog() error {
	repo, b, err := v.oneBuild()
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	v.w.Header().Set("Cache-Control", "no-store")
	return v.gone(v.Builds.WriteLog(v.ctx(), v.by, repo.Name, b.ID, false, v.w, func() error { return nil }))
}

// gone drops an error after the answer has begun: it cannot be answered any more.
func (v *visit) gone(err error) error {
	if err != nil && !errors.Is(err, context.Canceled) {
		v.Log.Warn("an answer broke off", "path", v.path, "error", err)
	}
	return nil
}

// buildStream sends the log as server-sent events while the build runs: "start",
// one message for each line, "end".
func (v *visit) buildStream() error {
	repo, b, err := v.oneBuild()
	if err != nil {
		return err
	}
	control := http.NewResponseController(v.w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back
	ctx, cancel := context.WithCancel(v.ctx())
	defer cancel()
	go func() {
		select {
		case <-v.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	lines := &events{w: v.w}
	_, err = io.WriteString(v.w, "event: start\ndata:\n\n")
	if err == nil {
		err = v.Builds.WriteLog(ctx, v.by, repo.Name, b.ID, true, lines, control.Flush)
	}
	if err == nil {
		err = lines.end()
	}
	return v.gone(err)
}

// events writes each line as a server-sent event.
type events struct {
	w    io.Writer
	rest []byte // of a line that has not ended
}

func (e *events) Write(p []byte) (int, error) {
	e.rest = append(e.rest, p...)
	var out bytes.Buffer
	for {
		i := bytes.IndexByte(e.rest, '\n')
		if i < 0 {
			break
		}
		e.line(&out, e.rest[:i])
		e.rest = e.rest[i+1:]
	}
	if _, err := e.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// line keeps carriage returns out: they end lines of the protocol, too.
func (e *events) line(out *bytes.Buffer, line []byte) {
	if i := bytes.LastIndexByte(bytes.TrimRight(line, "\r"), '\r'); i >= 0 {
		line = line[i+1:] // what a terminal would show
	}
	out.WriteString("data: ")
	out.Write(bytes.ToValidUTF8(bytes.TrimRight(line, "\r"), []byte("\uFFFD")))
	out.WriteString("\n\n")
}

func (e *events) end() error {
	var out bytes.Buffer
	if len(e.rest) > 0 {
		e.line(&out, e.rest)
	}
	out.WriteString("event: end\ndata:\n\n")
	_, err := e.w.Write(out.Bytes())
	return err
}

func (v *visit) cancelBuild() error {
	repo, b, err := v.oneBuild()
	if err == nil {
		err = v.Builds.Cancel(v.ctx(), v.by, repo.Name, b.ID)
	}
	if err != nil {
		return err
	}
	return v.done(repoPath(repo.Name)+"/-/builds/"+b.ID, "The build is given up.")
}

func (v *visit) buildAgain() error {
	repo, b, err := v.oneBuild()
	if err != nil {
		return err
	}
	again, err := v.Builds.Rebuild(v.ctx(), v.by, repo.Name, b.ID)
	if err != nil {
		return err
	}
	return v.done(repoPath(repo.Name)+"/-/builds/"+again.ID, "The commit is built once more.")
}
