package server

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/moby/moby/api/types/container"

	engine "github.com/berth-engine/berth/container"
)

// pathParameter is the path of a file in a container.
func pathParameter(r *request) (string, error) {
	path := r.query.Get("path")
	if path == "" {
		return "", invalid("bad parameter: path cannot be empty")
	}
	return path, nil
}

// setPathStat tells what is at the path in a header: its body is the archive.
func setPathStat(w http.ResponseWriter, st *container.PathStat) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(b))
	return nil
}

func (s *Server) containerArchiveHead(w http.ResponseWriter, r *request) error {
	path, err := pathParameter(r)
	if err != nil {
		return err
	}
	st, err := s.o.Containers.StatPath(r.Context(), r.name, path)
	if err != nil {
		return err
	}
	return setPathStat(w, &st)
}

func (s *Server) containerArchiveGet(w http.ResponseWriter, r *request) error {
	path, err := pathParameter(r)
	if err != nil {
		return err
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	tar, st, err := s.o.Containers.Archive(ctx, r.name, path)
	if err != nil {
		return err
	}
	if err := setPathStat(w, &st); err != nil {
		return err
	}
	return s.sendStream(w, r, "application/x-tar", tar)
}

func (s *Server) containerExport(w http.ResponseWriter, r *request) error {
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	tar, err := s.o.Containers.Export(ctx, r.name)
	if err != nil {
		return err
	}
	return s.sendStream(w, r, "application/octet-stream", tar)
}

// sendStream answers with a stream and closes it. If it breaks off, so does the
// connection: an end in good order would say that all was sent.
func (s *Server) sendStream(w http.ResponseWriter, r *request, contentType string, stream io.ReadCloser) error {
	defer stream.Close()
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(w, stream); err != nil {
		s.log.Warn("a stream broke off", "path", r.URL.Path, "error", err)
		_ = stream.Close()
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (s *Server) containerArchivePut(w http.ResponseWriter, r *request) error {
	path, err := pathParameter(r)
	if err != nil {
		return err
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	err = s.o.Containers.Extract(ctx, r.name, path, r.Body, engine.ExtractOptions{
		NoOverwriteDirNonDir: r.flag("noOverwriteDirNonDir"),
		CopyUIDGID:           r.flag("copyUIDGID"),
		Interrupt:            interruptRead(w),
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// interruptRead makes a read of the body that is under way fail.
func interruptRead(w http.ResponseWriter) func() {
	return func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) } // the connection may be gone
}

func (s *Server) containerChanges(w http.ResponseWriter, r *request) error {
	found, err := s.o.Containers.Changes(r.Context(), r.name)
	if err != nil {
		return err
	}
	if found == nil {
		found = []container.FilesystemChange{}
	}
	writeJSON(w, http.StatusOK, found)
	return nil
}
