package container

import (
	"context"
	"encoding/json"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/container/exec"
	"github.com/berth-engine/berth/sandbox"
)

// execNote is what the monitor keeps for the daemon after this one.
type execNote struct {
	Request *container.ExecCreateRequest
	Run     uint64
}

// noteOf leaves out the environment: it may hold secrets, and is not needed.
func noteOf(i *exec.Instance) execNote {
	x := *i.Request
	x.Env = nil
	return execNote{Request: &x, Run: i.Run}
}

// adoptExecs takes up the execs of a container that an earlier daemon started.
func (s *Service) adoptExecs(ctx context.Context, e *entry, box *sandbox.Sandbox) {
	list, err := box.Execs(ctx)
	if err != nil {
		s.log.Error("cannot list the execs of a container", "container", e.id, "err", err)
		return
	}
	for _, p := range list {
		var note execNote
		if err := json.Unmarshal([]byte(p.Note), &note); err != nil || note.Request == nil || len(note.Request.Cmd) == 0 {
			s.log.Warn("an exec without a note", "container", e.id, "exec", p.ID, "err", err)
			note = execNote{Request: &container.ExecCreateRequest{Cmd: []string{"?"}}, Run: e.record().Run}
		}
		keys, err := parseKeys(note.Request.DetachKeys)
		if err != nil {
			keys = nil
		}
		i := exec.New(p.ID, e.id, note.Run, note.Request, keys)
		if err := s.execs.Add(i); err != nil {
			s.log.Error("cannot adopt an exec", "container", e.id, "exec", p.ID, "err", err)
			continue
		}
		i.Started(p, p.Pid)
		s.watchExecLater(e, i, p)
	}
}
