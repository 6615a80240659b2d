package container

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/container/exec"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/trace"
)

// Exit codes of execs that could not be executed.
const (
	execNotFound  = 127
	execCannotRun = 126
)

// ExecStart runs an exec, once. Detached, it returns when the program runs.
// Else it takes over the client's connection and returns when the program ends,
// the client goes away, or the detach keys are typed; in the last two cases the
// program goes on. After hijack errors are told to the client on its
// connection, as Docker does.
func (s *Service) ExecStart(ctx context.Context, id string, o ExecStartOptions, hijack Hijack) error {
	i, err := s.execOf(id)
	if err != nil {
		return err
	}
	t, err := s.execTarget(ctx, i.ContainerID)
	if err != nil {
		if o.InStream && i.Claim() == nil {
			s.execs.End(i, execCannotRun, s.clock.now())
		}
		return err
	}
	if t.record.Run != i.Run {
		return notFound("No such exec instance: %s", id) // it was of an earlier run
	}
	if err := i.Claim(); err != nil {
		return err
	}
	var conn Conn
	if !o.Detach {
		if conn, err = hijack(!o.Tty); err != nil {
			i.Unclaim()
			return err
		}
	}
	at := trace.From(ctx)
	at.Mark("find the container, take over the connection")
	s.announceExec(t.record, events.ActionExecStart, i.Request, i.ID)
	p, err := s.runExec(ctx, t, i, o)
	if err != nil {
		s.execs.End(i, execCode(err), s.clock.now())
		if conn == nil {
			return err
		}
		_ = TellError(conn, o.Tty, err) // the client may be gone
		return conn.Close()
	}
	if conn == nil {
		return nil
	}
	defer at.Mark("the program runs, its output ends")
	return s.serveExec(ctx, t.record, i, p, o, conn)
}

// serveExec connects the client with the process.
func (s *Service) serveExec(ctx context.Context, r *Record, i *exec.Instance, p *sandbox.Process, o ExecStartOptions, conn Conn) error {
	a := attachment{conn: conn, tty: i.Request.Tty, raw: o.Tty, stdin: i.Request.AttachStdin, keys: i.Keys, settled: i.Done()}
	defer a.hangUp()
	if p.Stream() == nil { // nothing to connect, but to wait for
		select {
		case <-i.Done():
		case <-ctx.Done():
		}
		return nil
	}
	ready := &pending{ready: make(chan attached, 1)}
	ready.ready <- attached{stream: p.Stream()}
	err := a.serve(ctx, ready)
	switch {
	case errors.Is(err, errDetached):
		s.announce(r, events.ActionExecDetach, "execID", i.ID)
		return nil
	case errors.Is(err, errClientGone):
		return nil
	}
	return err
}

// execCode is the exit code of an exec that was not executed, as shells say it.
func execCode(err error) int {
	if e, ok := errors.AsType[*sandbox.StartError](err); ok {
		return e.ExitCode
	}
	if strings.Contains(err.Error(), "no such file or directory") { // a working directory that is missing
		return execNotFound
	}
	return execCannotRun
}

// execError words a failure as Docker does; tools look for these words.
func execError(t *execTarget, err error) error {
	const prefix = "OCI runtime exec failed: exec failed: unable to start container process: "
	switch {
	case err == nil:
		return nil
	case errdefs.IsFailedPrecondition(err): // it has ended meanwhile
		return conflict("container %s is not running", t.id)
	case errdefs.IsNotImplemented(err):
		return fail(errdefs.ErrNotImplemented, "%w", err)
	}
	return invalid(prefix+"%w: unknown", plainError{err})
}

// plainError leaves out the exec's ID and the step that failed, which say
// nothing to a user.
type plainError struct{ cause error }

func (e plainError) Error() string {
	text := e.cause.Error()
	if _, after, ok := strings.Cut(text, "container init: "); ok {
		text = strings.TrimPrefix(after, "set credentials: ")
	}
	return text
}

func (e plainError) Unwrap() error { return e.cause }

// TellError tells a client of an error on its taken-over connection, on the
// standard output: raw, or in a frame.
func TellError(conn io.Writer, raw bool, err error) error {
	text := err.Error() + "\r\n"
	if !raw {
		head := [8]byte{1}
		binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
		text = string(head[:]) + text
	}
	_, err = io.WriteString(conn, text)
	return err
}

// announceExec publishes what happens to an exec, with its command as a part
// of the action.
func (s *Service) announceExec(r *Record, action events.Action, x *container.ExecCreateRequest, id string) {
	s.announce(r, action+events.Action(": "+x.Cmd[0]+" "+strings.Join(x.Cmd[1:], " ")), "execID", id)
}

// watchExecLater starts watchExec.
func (s *Service) watchExecLater(e *entry, i *exec.Instance, p *sandbox.Process) {
	told := e.execs.begin()
	accepted := s.tasks.do(func(ctx context.Context) {
		defer told()
		s.watchExec(ctx, e, i, p)
	})
	if !accepted {
		told()
	}
}

// watchExec waits for the end of an exec and makes it known. At the end of the
// daemon it leaves; the next one takes it up again.
func (s *Service) watchExec(ctx context.Context, e *entry, i *exec.Instance, p *sandbox.Process) {
	exit, err := p.Wait(ctx)
	if err != nil {
		if ctx.Err() == nil && !errdefs.IsUnavailable(err) {
			s.log.Error("cannot learn how an exec ends", "container", e.id, "exec", i.ID, "err", err)
		}
		return
	}
	s.execs.End(i, exit.Code, exit.FinishedAt)
	s.announce(e.record(), events.ActionExecDie, "execID", i.ID, "exitCode", strconv.Itoa(exit.Code))
	// A monitor that has ended meanwhile knows nothing any more.
	if err := p.Remove(ctx); err != nil && ctx.Err() == nil && !errdefs.IsUnavailable(err) {
		s.log.Warn("cannot forget an exec", "container", e.id, "exec", i.ID, "err", err)
	}
}
