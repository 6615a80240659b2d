package monitor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/sandbox/foreign"
	"github.com/berth-engine/berth/sandbox/stage"
)

// maxProcess bounds the JSON of a further process.
const maxProcess = 16 << 20

// spawnForeign is spawn by another OCI runtime. The config is in the
// container's directory.
func (c *container) spawnForeign(l *Launch, f stage.Files, _ *os.File, meanwhile func() error) (_ *process, _ *stdio, err error) {
	if c.ahead != nil {
		c.ahead.Abandon() // nobody needs it
		c.ahead = nil
	}
	r := &foreign.Runtime{Exe: c.exe.file, Command: l.Runtime, ID: l.ID, Dir: l.Dir}
	if l.KillFile != "" && len(l.CgroupDirs) > 1 {
		r.Group = filepath.Dir(l.KillFile)
	}
	if err := r.Adopt(); err != nil {
		return nil, nil, err
	}
	mounts := []foreign.Mount{{File: f.Rootfs, At: filepath.Join(l.Dir, foreign.RootDir)}}
	for i, source := range f.Sources {
		mounts = append(mounts, foreign.Mount{File: source, At: SourcePath(l.Dir, i)})
	}
	s, theirs, err := newStdio(wiring{terminal: l.Plan.Terminal, stdin: l.OpenStdin, stdout: true, stderr: true, once: l.StdinOnce})
	if err != nil {
		return nil, nil, err
	}
	var made *foreign.Process
	if err = meanwhile(); err == nil {
		err = s.openLog(l)
	}
	if err == nil {
		made, err = r.Create(theirs, l.Plan.Terminal, mounts)
	}
	closeAll(theirs[:]) // process 1 has its own
	if err != nil {
		return nil, nil, errors.Join(noProgram(err), s.close())
	}
	p := foreignProcess(r, made, false)
	if err := p.takeConsole(s); err != nil {
		p.Abandon()
		return nil, nil, errors.Join(err, s.close(), r.Delete())
	}
	c.other = r
	return p, s, nil
}

// takeConsole gives the terminal's master to the one who reads it.
func (p *process) takeConsole(s *stdio) error {
	if p.Console == nil {
		return nil
	}
	master := p.Console
	p.Console = nil
	return s.console(master)
}

// SourcePath is where a mount that is given to another runtime is, for the
// config to name it.
func SourcePath(dir string, index int) string {
	return filepath.Join(dir, "source-"+strconv.Itoa(index))
}

// enterForeign is enter by another OCI runtime. The process runs when it
// returns.
func (c *container) enterForeign(x *execution, f execFD) error {
	if f.process == nil {
		return fmt.Errorf("exec: another runtime made the container, and there is no process for it: %w", errdefs.ErrInvalidArgument)
	}
	c.mu.Lock()
	state := c.state
	c.mu.Unlock()
	if state != StateRunning {
		return notRunning(state)
	}
	text, err := io.ReadAll(io.LimitReader(f.process, maxProcess))
	if err != nil {
		return err
	}
	s, theirs, err := newStdio(wiring{terminal: x.Terminal, stdin: x.Stdin, stdout: x.Stdout, stderr: x.Stderr, once: true})
	if err != nil {
		return err
	}
	made, err := c.other.Exec(text, theirs, x.Terminal)
	closeAll(theirs[:]) // the process has its own
	if err != nil {
		err = errors.Join(noProgram(err), s.close())
		if e := (*stage.ExecError)(nil); errors.As(err, &e) {
			return &Error{Kind: kindExec, Text: e.Text, ExitCode: e.ExitCode()}
		}
		return c.explain(err)
	}
	p := foreignProcess(c.other, made, true)
	if err = c.execs.made(x, p); err == nil {
		if err = p.takeConsole(s); err != nil {
			p.Abandon()
		}
	}
	if err != nil {
		return c.explain(errors.Join(err, s.close()))
	}
	x.proc, x.io = p, s
	return nil
}
