package executor

import (
	"context"
	"fmt"

	bkexecutor "github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/identity"

	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/sandbox"
)

// Exec runs a further process in a step that runs, or will at once, for
// debuggers of builds.
func (x *Executor) Exec(ctx context.Context, id string, p bkexecutor.ProcessInfo) error {
	x.mu.Lock()
	s := x.running[id]
	x.mu.Unlock()
	if s == nil {
		return fmt.Errorf("container %s not found", id)
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.box == nil || !s.box.Running() {
		return fmt.Errorf("container %s has stopped", id)
	}
	process := *s.spec.Process
	process.Terminal, process.Args = p.Meta.Tty, p.Meta.Args
	if p.Meta.Cwd != "" {
		process.Cwd = p.Meta.Cwd
	}
	if len(p.Meta.Env) > 0 {
		process.Env = p.Meta.Env
	}
	if p.Meta.User != "" {
		user, err := spec.ResolveUser(s.root, p.Meta.User, nil)
		if err != nil {
			return err
		}
		process.User.UID, process.User.GID, process.User.AdditionalGids = user.UID, user.GID, user.Additional
	}
	proc, err := s.box.Exec(ctx, &sandbox.ExecSpec{
		ID: identity.NewID(), Process: &process, Linux: s.spec.Linux, Stdin: p.Stdin != nil, Stdout: true, Stderr: true,
	})
	if err != nil {
		return startError(s.root, &process, err)
	}
	io := pump(ctx, proc.Stream(), p, proc)
	exit, err := proc.Wait(ctx)
	if err != nil {
		return err
	}
	<-io.done
	if err := proc.Remove(ctx); err != nil {
		return err
	}
	return exitError(ctx, exit.Code, p.Meta.ValidExitCodes)
}
