package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/sandbox/lifecycle"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// execFlags are the flags of exec.
type execFlags struct {
	o                                            lifecycle.ExecOptions
	preserve                                     int
	file, cwd, user, label, apparmor, noNewPrivs string
	env, caps                                    []string
	groups                                       []uint32
	tty                                          bool
	args                                         []string
}

func execVerb() *verb {
	e := &execFlags{}
	return &verb{
		name: "exec", args: "container-id command [arguments]", min: 1, max: -1,
		about: "execute a further program in a container", flags: e.flags, programLast: true,
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			status, err := e.do(ctx, p, args)
			if err != nil {
				status = 255 // the program's own is the other 255
			}
			return status, err
		},
	}
}

func (e *execFlags) flags(f *flag.FlagSet) {
	f.StringVar(&e.o.ConsoleSocket, "console-socket", "", "`path` of a unix socket that gets the terminal's master")
	f.StringVar(&e.o.PidfdSocket, "pidfd-socket", "", "`path` of a unix socket that gets a pidfd of the process")
	f.StringVar(&e.o.PidFile, "pid-file", "", "`file` to write the number of the process to")
	f.StringVar(&e.cwd, "cwd", "", "working `directory` in the container")
	list(f, &e.env, "env", "e", "environment variable, as NAME=value (more than once)")
	boolFlag(f, &e.tty, "tty", "t", "make a terminal")
	stringFlag(f, &e.user, "user", "u", "", "user, as UID or UID:GID")
	for _, name := range []string{"additional-gids", "g"} {
		f.Func(name, "additional group, by number (more than once)", e.group)
	}
	stringFlag(f, &e.file, "process", "p", "", "`file` with the process, as in config.json; other flags about the process are ignored then")
	boolFlag(f, &e.o.Detach, "detach", "d", "return when the program runs")
	f.StringVar(&e.label, "process-label", "", "SELinux label")
	f.StringVar(&e.apparmor, "apparmor", "", "AppArmor profile")
	f.BoolFunc("no-new-privs", "set no_new_privs", func(s string) error { e.noNewPrivs = s; return nil })
	list(f, &e.caps, "cap", "c", "additional capability (more than once)")
	f.IntVar(&e.preserve, "preserve-fds", 0, "pass `n` descriptors on, from 3")
	f.Func("cgroup", "group below the container's to be in: [controller:]path (more than once)", func(s string) error {
		e.o.Cgroups = append(e.o.Cgroups, s)
		return nil
	})
	f.BoolVar(&e.o.IgnorePaused, "ignore-paused", false, "also in a paused container, where the process waits")
}

// list declares a flag that may be given more than once.
func list(f *flag.FlagSet, to *[]string, long, short, text string) {
	for _, name := range []string{long, short} {
		f.Func(name, text, func(s string) error { *to = append(*to, s); return nil })
	}
}

func (e *execFlags) group(s string) error {
	for text := range strings.SplitSeq(s, ",") {
		gid, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("additional-gids must be a positive number: %w", err)
		}
		e.groups = append(e.groups, uint32(gid))
	}
	return nil
}

func (e *execFlags) do(ctx context.Context, p *program, args []string) (int, error) {
	var err error
	if e.o.Preserve, err = preserved(e.preserve); err != nil {
		return 1, err
	}
	if e.o.Program, err = stageProgram(); err != nil {
		return 1, err
	}
	e.args, e.o.Process = args[1:], e.change
	if e.file != "" {
		e.o.Process = e.read
	}
	return p.root.Exec(ctx, args[0], &e.o)
}

func (e *execFlags) read(*specs.Process) (*specs.Process, error) {
	data, err := os.ReadFile(e.file)
	if err != nil {
		return nil, err
	}
	p := new(specs.Process)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", e.file, err)
	}
	return p, nil
}

// change applies the flags to the container's own process.
func (e *execFlags) change(p *specs.Process) (*specs.Process, error) {
	if len(e.args) == 0 {
		return nil, errors.New("exec args cannot be empty")
	}
	p.Args, p.Terminal = e.args, e.tty
	p.Env = append(p.Env, e.env...)
	p.User.AdditionalGids = append(p.User.AdditionalGids, e.groups...)
	for to, from := range map[*string]string{&p.Cwd: e.cwd, &p.ApparmorProfile: e.apparmor, &p.SelinuxLabel: e.label} {
		if from != "" {
			*to = from
		}
	}
	if e.noNewPrivs != "" {
		var err error
		if p.NoNewPrivileges, err = strconv.ParseBool(e.noNewPrivs); err != nil {
			return nil, fmt.Errorf("no-new-privs: %w", err)
		}
	}
	if len(e.caps) > 0 {
		more := specs.LinuxCapabilities{}
		if p.Capabilities != nil {
			more = *p.Capabilities
		}
		more.Bounding, more.Effective = join(more.Bounding, e.caps), join(more.Effective, e.caps)
		more.Permitted = join(more.Permitted, e.caps)
		if more.Inheritable != nil {
			more.Ambient = join(more.Ambient, e.caps)
		}
		p.Capabilities = &more
	}
	return p, e.setUser(p)
}

func join(a, b []string) []string { return append(append([]string(nil), a...), b...) }

func (e *execFlags) setUser(p *specs.Process) error {
	if e.user == "" {
		return nil
	}
	uid, gid, both := strings.Cut(e.user, ":")
	n, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return fmt.Errorf("bad uid: %w", err)
	}
	p.User.UID = uint32(n)
	if both {
		if n, err = strconv.ParseUint(gid, 10, 32); err != nil {
			return fmt.Errorf("bad gid: %w", err)
		}
		p.User.GID = uint32(n)
	}
	return nil
}
