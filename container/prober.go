package container

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/container/exec"
	"github.com/berth-engine/berth/container/health"
	"github.com/berth-engine/berth/sandbox"
)

// prober runs the checks of one run of a container: by a process that stands
// ready and forks, or, where that cannot be, as any exec. It is used by one
// goroutine.
type prober struct {
	s    *Service
	e    *entry
	box  *sandbox.Sandbox
	argv []string

	forker *sandbox.Forker // nil: none now
	of     *Record         // what forker was made from
	links  []string        // and the variables of the container's links
	never  bool            // no more forkers in this run
}

// probe runs the command of a check in the container and returns its code and
// the beginning of what it said. At the end of ctx it is killed.
func (p *prober) probe(ctx context.Context) (int, string, error) {
	t, err := p.s.execTarget(ctx, p.e.id)
	if err != nil {
		return 0, "", err
	}
	if t.box != p.box {
		return 0, "", fmt.Errorf("container %s was started anew", p.e.id)
	}
	i := exec.New(newID(), t.id, t.record.Run, &container.ExecCreateRequest{Cmd: p.argv, AttachStdout: true, AttachStderr: true}, nil)
	if err := i.Claim(); err != nil {
		return 0, "", err
	}
	if err := p.s.execs.Add(i); err != nil {
		return 0, "", err
	}
	p.s.announceExec(t.record, events.ActionExecCreate, i.Request, i.ID)
	p.s.announceExec(t.record, events.ActionExecStart, i.Request, i.ID)
	if p.ready(ctx, t, i) {
		code, output, err := p.fork(ctx, i)
		if err == nil || ctx.Err() != nil {
			return code, output, err
		}
		// What is wrong, the usual way says.
		p.s.log.Debug("a health check's process is made by itself from now on", "container", p.e.id, "err", err)
		p.never = true
	}
	return p.s.probeByExec(ctx, t, i)
}

// ready makes a forker for what a check is now, unless there is one.
func (p *prober) ready(ctx context.Context, t *execTarget, i *exec.Instance) bool {
	if p.never || !forkable(t.record) {
		return false
	}
	links := linkEnv(t.record, p.s.linksNow(t.record))
	if p.forker != nil && p.of == t.record && slices.Equal(p.links, links) {
		return true
	}
	p.close()
	sp, err := p.s.specifyExec(t, i.Request)
	if err != nil {
		return false // the usual way says the same
	}
	f, err := p.box.Forker(ctx, &sandbox.ExecSpec{Process: sp.Process, Linux: sp.Linux})
	if err != nil {
		p.never = ctx.Err() == nil
		if p.never && !errdefs.IsNotImplemented(err) {
			p.s.log.Debug("a health check's process is made by itself", "container", p.e.id, "err", err)
		}
		return false
	}
	p.forker, p.of, p.links = f, t.record, links
	return true
}

// forkable tells whether a process of the engine may stand in the container's
// groups: where the container can have groups of its own, it would be in the way.
func forkable(r *Record) bool {
	return !r.HostConfig.Privileged && !slices.ContainsFunc(r.HostConfig.SecurityOpt, func(o string) bool {
		return strings.HasPrefix(o, "writable-cgroups")
	})
}

// fork runs a check by the forker. A failure of that, or a check that was killed,
// is the end of it.
func (p *prober) fork(ctx context.Context, i *exec.Instance) (int, string, error) {
	i.Started(p.forker, 0)
	code, output, err := p.forker.Run(ctx, health.MaxOutput)
	switch {
	case ctx.Err() != nil:
		p.close()
		code, err = 128+int(syscall.SIGKILL), ctx.Err()
	case err != nil:
		p.close()
		return 0, "", err
	}
	p.s.execs.End(i, code, p.s.clock.now())
	p.s.announce(p.e.record(), events.ActionExecDie, "execID", i.ID, "exitCode", strconv.Itoa(code))
	return code, output, err
}

// close ends the forker.
func (p *prober) close() {
	if p.forker != nil {
		p.forker.Close()
		p.forker = nil
	}
}

// probeByExec runs a check as any exec.
func (s *Service) probeByExec(ctx context.Context, t *execTarget, i *exec.Instance) (int, string, error) {
	p, err := s.runExec(ctx, t, i, ExecStartOptions{})
	if err != nil {
		s.execs.End(i, execCode(err), s.clock.now())
		return 0, "", err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = p.Signal(context.WithoutCancel(ctx), syscall.SIGKILL) // it may just have ended
		_ = p.Stream().Close()                                    // its children may hold it open
	})
	output := head(p.Stream(), health.MaxOutput)
	select {
	case <-i.Done():
	case <-ctx.Done():
		return 0, output, ctx.Err()
	}
	if !stop() {
		return 0, output, ctx.Err()
	}
	code := 0
	if c := i.Inspect().ExitCode; c != nil {
		code = *c
	}
	return code, output, p.Stream().Close()
}

// head reads a stream to its end, whatever that is, and keeps the first bytes.
func head(stream *sandbox.Stream, limit int) string {
	var text []byte
	for {
		_, data, err := stream.Next()
		if err != nil {
			return string(text)
		}
		text = append(text, data[:min(len(data), limit-len(text))]...)
	}
}
