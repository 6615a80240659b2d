package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/seccomp"
	"github.com/berth-engine/berth/sandbox/stage"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecOptions say what a further process of a container is.
type ExecOptions struct {
	// Process gets the container's own process, to change it or to return
	// another. What the result leaves open (capabilities, limits, AppArmor,
	// SELinux) is as the container has it.
	Process func(own *specs.Process) (*specs.Process, error)
	// ConsoleSocket, PidfdSocket, PidFile, Preserve and Program are as in
	// CreateOptions.
	ConsoleSocket, PidfdSocket, PidFile string
	Preserve                            []*os.File
	Program                             string
	// Cgroups are groups below the container's: a path, or on v1 several of the
	// form controller[,controller…]:path.
	Cgroups []string
	// Detach returns when the program runs.
	Detach bool
	// IgnorePaused makes the process in a paused container, too. It waits for
	// the container to be resumed.
	IgnorePaused bool
}

// Exec makes a further process in a container and starts it. Without Detach it
// waits for its end and returns the exit status, which is 128+n after the
// signal n.
func (r *Root) Exec(ctx context.Context, id string, o *ExecOptions) (int, error) {
	c, err := r.Load(id)
	if err != nil {
		return -1, err
	}
	defer c.Close()
	if err := ctx.Err(); err != nil {
		return -1, err
	}
	if err := c.enterable(o.IgnorePaused); err != nil {
		return -1, err
	}
	p, err := c.enter(o)
	if err != nil {
		return -1, err
	}
	defer func() { _ = p.Close() }() // descriptors alone
	return finish(p, o, r.debug)
}

func (c *Container) enterable(paused bool) error {
	status, err := c.Status()
	switch {
	case err != nil:
		return err
	case status == Stopped || status == Creating:
		return fmt.Errorf("cannot exec in a %s container: %w", status, errdefs.ErrFailedPrecondition)
	case status == Paused && !paused:
		return fmt.Errorf("cannot exec in a paused container (use --ignore-paused to override): %w", errdefs.ErrFailedPrecondition)
	}
	return nil
}

// enter makes the process, up to where it waits for its start.
func (c *Container) enter(o *ExecOptions) (_ *stage.Process, err error) {
	spec, err := c.Spec()
	if err != nil {
		return nil, err
	}
	if spec, err = forExec(spec, o.Process); err != nil {
		return nil, err
	}
	root, err := c.inside()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	spec.Process.Env = environment(spec.Process.Env, root, spec.Process.User.UID)
	if err := checkTerminal(spec.Process.Terminal, o.Detach, o.ConsoleSocket); err != nil {
		return nil, err
	}
	cfg := &stage.Config{Spec: spec, Preserve: len(o.Preserve), State: c.oci(specs.StateRunning, c.Pid)}
	if cfg.Seccomp, err = seccomp.Compile(spec.Linux.Seccomp); err != nil {
		return nil, err
	}
	text, err := stage.PrepareEntry(cfg)
	if err != nil {
		return nil, err
	}
	e := &stage.Entry{
		Pid: c.Pid, Preserve: o.Preserve, Terminal: spec.Process.Terminal,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if c.Mount != nil {
		e.Root = root
	}
	if a := spec.Process.ExecCPUAffinity; a != nil {
		e.CPUs = a.Initial
	}
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	if e.Groups, err = subgroups(g, o.Cgroups); err != nil {
		return nil, err
	}
	// What Go has made of this program's own limit is not meant for others.
	if e.Nofile, err = task.OpenFilesLimit(c.Pid); err != nil {
		return nil, err
	}
	if e.PidFD, err = c.process(); err != nil {
		return nil, err
	}
	defer e.PidFD.Close()
	if e.Order, err = ns.DataMemfd("order", bytes.NewReader(text)); err != nil {
		return nil, err
	}
	defer e.Order.Close()
	p, err := c.begin(e, o.Program)
	if err == nil {
		c.root.debugEntry(p.Pid, e.CPUs)
		c.root.debugFilter(spec)
		err = p.Created()
	}
	if err != nil {
		return nil, err
	}
	c.root.debug("child process in init(): it waits for its start")
	for _, w := range p.Warnings {
		c.root.warn("%s", w)
	}
	if err := giveAll(p, o.ConsoleSocket, o.PidfdSocket); err != nil {
		p.Abandon()
		return nil, err
	}
	return p, nil
}

// begin makes the process: one of the usual kind by a trampoline, which leaves
// out a program of ours and most of the time; else by a stage, which also says
// what is wrong.
func (c *Container) begin(e *stage.Entry, program string) (*stage.Process, error) {
	e.Seal = ns.Trampoline
	if p := stage.EnterDirectly(e); p != nil {
		return p, nil
	}
	exe, err := c.root.sealed(program)
	if err != nil {
		return nil, fmt.Errorf("the program of further processes: %w", err)
	}
	defer exe.Close()
	return stage.Enter(exe, e)
}

// finish starts the process and waits for it, unless it is detached.
func finish(p *stage.Process, o *ExecOptions, debug func(string, ...any)) (int, error) {
	var relay *relay
	if p.Console != nil && !o.Detach {
		var err error
		if relay, err = newRelay(p.Console); err != nil {
			p.Abandon()
			return -1, err
		}
		defer relay.close()
	}
	err := writePidFile(o.PidFile, p.Pid)
	if err == nil {
		debug("setns_init: about to exec")
		err = p.Start()
	}
	if err != nil {
		p.Abandon()
		return -1, err
	}
	if o.Detach {
		return 0, nil
	}
	status := attend(p, relay)
	if relay != nil {
		relay.drain()
	}
	return status, nil
}

// forExec is the configuration of a further process.
func forExec(spec *specs.Spec, change func(*specs.Process) (*specs.Process, error)) (*specs.Spec, error) {
	own := *spec.Process
	own.Env, own.User.AdditionalGids = slices.Clone(own.Env), slices.Clone(own.User.AdditionalGids)
	own.Terminal, own.ConsoleSize = false, nil
	p, err := change(&own)
	if err != nil {
		return nil, err
	}
	if err := validProcess(p); err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	if p.Capabilities == nil {
		p.Capabilities = spec.Process.Capabilities
	}
	if len(p.Rlimits) == 0 {
		p.Rlimits = spec.Process.Rlimits
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = spec.Process.ApparmorProfile
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = spec.Process.SelinuxLabel
	}
	if p.OOMScoreAdj == nil {
		p.OOMScoreAdj = spec.Process.OOMScoreAdj
	}
	if p.Scheduler == nil {
		p.Scheduler = spec.Process.Scheduler
	}
	if p.IOPriority == nil {
		p.IOPriority = spec.Process.IOPriority
	}
	if p.ExecCPUAffinity == nil {
		p.ExecCPUAffinity = spec.Process.ExecCPUAffinity
	}
	changed := *spec
	changed.Process = p
	return &changed, nil
}

// subgroups are the container's groups, or those below them that are asked
// for.
func subgroups(g *cgroup.Group, asked []string) ([]string, error) {
	dirs := g.JoinDirs()
	for _, a := range asked {
		controllers, below, named := strings.Cut(a, ":")
		if !named {
			if len(asked) > 1 {
				return nil, fmt.Errorf("invalid --cgroup argument: %s (missing <controller>: prefix): %w", a, errdefs.ErrInvalidArgument)
			}
			for i := range dirs {
				var err error
				if dirs[i], err = subgroup(dirs[i], a); err != nil {
					return nil, err
				}
			}
			return dirs, nil
		}
		for name := range strings.SplitSeq(controllers, ",") {
			dir := g.Path(name)
			i := slices.Index(dirs, dir)
			if name == "" || dir == "" || i < 0 {
				return nil, fmt.Errorf("invalid --cgroup argument: %s (no controller %q, or twice): %w", a, name, errdefs.ErrInvalidArgument)
			}
			var err error
			if dirs[i], err = subgroup(dir, below); err != nil {
				return nil, err
			}
		}
	}
	return dirs, nil
}

func subgroup(dir, below string) (string, error) {
	if below = strings.TrimPrefix(below, "/"); below != "" && !filepath.IsLocal(below) {
		return "", fmt.Errorf("bad sub cgroup path: %s is not below the container's group: %w", below, errdefs.ErrInvalidArgument)
	}
	dir = filepath.Join(dir, below)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("cgroup %s does not exist: %w", dir, errdefs.ErrNotFound)
	}
	return dir, nil
}

// giveAll sends what others want of a process that was made.
func giveAll(p *stage.Process, console, pidfd string) error {
	var errs []error
	if console != "" {
		if err := give(console, "/dev/ptmx", p.Console); err != nil {
			errs = append(errs, fmt.Errorf("console socket: %w", err))
		}
	}
	if pidfd != "" {
		if err := give(pidfd, "pidfd", p.PidFD); err != nil {
			errs = append(errs, fmt.Errorf("pidfd socket: %w", err))
		}
	}
	return errors.Join(errs...)
}
