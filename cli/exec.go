package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type execFlags struct {
	detach, interactive, privileged, tty bool
	keys, user, workdir                  string
	env, envFile                         opts.List
}

func newExec(s *Session) *cobra.Command {
	var o execFlags
	o.env.Check = opts.CheckEnv
	cmd := &cobra.Command{
		Use:         "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
		Short:       "Execute a command in a running container",
		Args:        atLeast(2),
		Annotations: callable(2, "container exec", "exec"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.exec(cmd.Context(), args[0], args[1:], &o)
		},
		ValidArgsFunction: s.completeContainers(1, false, func(c container.Summary) bool {
			return c.State != container.StatePaused
		}),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&o.detach, "detach", "d", false, "Detached mode: run command in the background")
	f.StringVar(&o.keys, "detach-keys", "", "Override the key sequence for detaching a container")
	f.VarP(&o.env, "env", "e", "Set environment variables")
	f.Var(&o.envFile, "env-file", "Read in a file of environment variables")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "Keep STDIN open even if not attached")
	f.BoolVar(&o.privileged, "privileged", false, "Give extended privileges to the command")
	f.BoolVarP(&o.tty, "tty", "t", false, "Allocate a pseudo-TTY")
	f.StringVarP(&o.user, "user", "u", "", `Username or UID (format: "<name|uid>[:<group|gid>]")`)
	f.StringVarP(&o.workdir, "workdir", "w", "", "Working directory inside the container")
	return cmd
}

func (s *Session) exec(ctx context.Context, name string, command []string, o *execFlags) error {
	env, err := opts.EnvFiles(o.envFile.Values)
	if err != nil {
		return err
	}
	keys, err := s.detachKeys(o.keys)
	if err != nil {
		return err
	}
	x := client.ExecCreateOptions{
		User: o.user, Privileged: o.privileged, TTY: o.tty, DetachKeys: keys,
		Env: slices.Concat(env, o.env.Values), WorkingDir: o.workdir, Cmd: command,
	}
	if !o.detach {
		x.AttachStdin, x.AttachStdout, x.AttachStderr = o.interactive, true, true
		// Before the exec is made, which would be left behind.
		if err := s.IO.CheckTTY(x.AttachStdin, o.tty); err != nil {
			return err
		}
	}
	if o.tty {
		x.ConsoleSize.Height, x.ConsoleSize.Width = s.IO.Size()
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	made, err := api.ExecCreate(ctx, name, x)
	if err != nil {
		return err
	}
	if o.detach {
		_, err := api.ExecStart(ctx, made.ID, client.ExecStartOptions{Detach: true, TTY: x.TTY, ConsoleSize: x.ConsoleSize})
		return err
	}
	return s.execAttached(ctx, api, made.ID, &x)
}

// execAttached starts an exec, stays until it has ended and all its output is
// shown, and ends as it did.
func (s *Session) execAttached(ctx context.Context, api *client.Client, id string, x *client.ExecCreateOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := api.ExecAttach(ctx, id, client.ExecAttachOptions{TTY: x.TTY, ConsoleSize: x.ConsoleSize})
	if err != nil {
		return err
	}
	defer resp.Close()
	a := &stream.Attachment{
		IO: s.IO, Conn: resp.HijackedResponse, TTY: x.TTY, DetachKeys: x.DetachKeys,
		Stdin: x.AttachStdin, Stdout: true, Stderr: true,
	}
	if x.TTY && s.IO.OutTTY() {
		go s.IO.FollowSize(ctx, func(ctx context.Context, rows, cols uint) error {
			_, err := api.ExecResize(ctx, id, client.ExecResizeOptions{Height: rows, Width: cols})
			return err
		})
	}
	if err := a.Run(ctx); err != nil {
		return err
	}
	ended, err := api.ExecInspect(ctx, id, client.ExecInspectOptions{})
	if err != nil {
		return fmt.Errorf("cannot learn how the command ended: %w", err)
	}
	return exitWith(ended.ExitCode)
}
