package server

import (
	"context"
	"io"
	"net/http"
	"os"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/container/archive"
	"github.com/berth-engine/berth/volume"
)

func (s *Server) volumeRename(w http.ResponseWriter, r *request) error {
	v, err := s.o.Containers.RenameVolume(r.Context(), r.name, r.query.Get("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, shownVolume(&v))
	return nil
}

func (s *Server) volumeCopy(w http.ResponseWriter, r *request) error {
	var body api.VolumeCopyRequest
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	if err := volume.CheckName(body.Name); err != nil {
		return err
	}
	v, err := s.o.Volumes.Copy(r.Context(), r.name, volume.CreateOptions{Name: body.Name, Labels: body.Labels})
	if err != nil {
		return err
	}
	shown := shownVolume(&v)
	if warning := s.warnRunning(r.name); warning != "" {
		shown.Status = map[string]any{"Warning": warning}
	}
	writeJSON(w, http.StatusCreated, shown)
	return nil
}

// volumeExport sends the files of a volume, with exact times and attributes and
// with an entry for its directory.
func (s *Server) volumeExport(w http.ResponseWriter, r *request) error {
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	dir, release, err := s.o.Volumes.OpenData(ctx, r.name)
	if err != nil {
		return err
	}
	defer release()
	pr, pw := io.Pipe()
	defer context.AfterFunc(ctx, func() { _ = pr.CloseWithError(context.Cause(ctx)) })()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		_ = pw.CloseWithError(archive.PackAll(ctx, pw, dir, archive.PackOptions{Exact: true, Self: true})) // never fails
	}()
	defer func() {
		_ = pr.Close() // never fails
		<-packed
	}()
	return s.sendStream(w, r, "application/x-tar", pr)
}

func (s *Server) volumeImport(w http.ResponseWriter, r *request) error {
	if err := volume.CheckName(r.name); err != nil {
		return err
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	defer context.AfterFunc(ctx, interruptRead(w))()
	v, err := s.o.Volumes.Fill(ctx, volume.CreateOptions{Name: r.name}, func(dir *os.File) error {
		return archive.Unpack(ctx, dir, "/", r.Body, archive.UnpackOptions{Self: true})
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, shownVolume(&v))
	return nil
}

func (s *Server) volumeSnapshots(w http.ResponseWriter, r *request) error {
	list, err := s.o.Volumes.Snapshots(r.name)
	if err != nil {
		return err
	}
	out := []api.VolumeSnapshot{}
	for _, sn := range list {
		out = append(out, api.VolumeSnapshot{Name: sn.Name, CreatedAt: sn.CreatedAt})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) volumeSnapshot(w http.ResponseWriter, r *request) error {
	sn, err := s.o.Volumes.Snapshot(r.Context(), r.name, r.query.Get("snapshot"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, api.VolumeSnapshot{Name: sn.Name, CreatedAt: sn.CreatedAt, Warning: s.warnRunning(r.name)})
	return nil
}

func (s *Server) volumeSnapshotRemove(w http.ResponseWriter, r *request) error {
	return noContent(w, s.o.Volumes.RemoveSnapshot(r.name, r.query.Get("snapshot")))
}

func (s *Server) volumeRestore(w http.ResponseWriter, r *request) error {
	return noContent(w, s.o.Volumes.Restore(r.Context(), r.name, r.query.Get("snapshot")))
}
