package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

// debugImage has the tools when nothing else is said: BERTH_DEBUG_IMAGE, or this.
const debugImage = "busybox"

type debugFlags struct {
	image, user string
	privileged  bool
	env         []string
}

// newDebug makes the command that looks into a container with tools that it does
// not have.
func newDebug(s *Session) *cobra.Command {
	var o debugFlags
	cmd := &cobra.Command{
		Use:   "debug [OPTIONS] CONTAINER [COMMAND] [ARG...]",
		Short: "Run a shell with tools of another image in a running container",
		Long: "Run a shell, or another command, with the tools of another image inside a running container's namespaces: for " +
			"images that have no shell.\n\nIts processes are seen and can be traced and signalled, its network is the command's own, and " +
			"its files are below /proc/1/root, with the volumes that are mounted there. The container itself is not changed; what was " +
			"started is removed when it ends.",
		Args:        someArgs,
		Annotations: callable(0, "debug"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.debug(cmd, &o, args[0], args[1:])
		},
		ValidArgsFunction: s.completeContainers(1, false, nil),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVarP(&o.image, "image", "i", "", fmt.Sprintf("Image with the tools (default $BERTH_DEBUG_IMAGE, or %q)", debugImage))
	f.StringVarP(&o.user, "user", "u", "", "Username or UID (format: \"<name|uid>[:<group|gid>]\")")
	f.StringArrayVarP(&o.env, "env", "e", nil, "Set environment variables")
	f.BoolVar(&o.privileged, "privileged", false, "Give extended privileges to the command")
	return cmd
}

func (s *Session) debug(cmd *cobra.Command, o *debugFlags, name string, command []string) error {
	api, err := s.client(cmd.Context())
	if err != nil {
		return err
	}
	target, err := api.ContainerInspect(cmd.Context(), name, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	args, err := debugRun(&target.Container, o, command)
	if err != nil {
		return err
	}
	if s.IO.InTTY() && s.IO.OutTTY() {
		args = append([]string{"--tty"}, args...)
		fmt.Fprintf(s.IO.Err, "Processes and network are those of %s; its files are below %s.\n", name, debugRoot(&target.Container))
	}
	run := newRun(s)
	run.SilenceUsage, run.SilenceErrors = true, true
	run.SetArgs(args)
	run.SetIn(s.IO.In)
	run.SetOut(s.IO.Out)
	run.SetErr(s.IO.Err)
	return run.ExecuteContext(cmd.Context())
}

// debugRoot is where the command finds the container's files.
func debugRoot(target *container.InspectResponse) string {
	mode := target.HostConfig.PidMode
	switch {
	case mode.IsHost():
		return fmt.Sprintf("/proc/%d/root", target.State.Pid)
	case mode.IsContainer():
		return "/proc/PID/root of its process"
	}
	return "/proc/1/root"
}

// debugRun is the command line of `berth run` for a command in the target's
// namespaces. Whoever may trace another's process may see its files
// (ptrace_may_access), hence the capability and the same user namespace.
func debugRun(target *container.InspectResponse, o *debugFlags, command []string) ([]string, error) {
	if target.State == nil || !target.State.Running {
		return nil, fmt.Errorf("container %s is not running, so there are no namespaces to enter: "+
			"start it, or look at its files with `berth cp` or `berth export`", target.Name)
	}
	if target.State.Paused {
		return nil, errors.New("container " + target.Name + " is paused: unpause it first")
	}
	image := o.image
	if image == "" {
		image = os.Getenv("BERTH_DEBUG_IMAGE")
	}
	if image == "" {
		image = debugImage
	}
	pid := "container:" + target.ID
	if mode := target.HostConfig.PidMode; mode.IsHost() || mode.IsContainer() {
		pid = string(mode)
	}
	args := []string{"--rm", "--interactive", "--pid", pid, "--network", "container:" + target.ID, "--cap-add", "SYS_PTRACE"}
	if target.HostConfig.IpcMode.IsShareable() {
		args = append(args, "--ipc", "container:"+target.ID)
	}
	if mode := target.HostConfig.UsernsMode; mode != "" {
		args = append(args, "--userns", string(mode))
	}
	if o.privileged {
		args = append(args, "--privileged")
	}
	if o.user != "" {
		args = append(args, "--user", o.user)
	}
	for _, e := range o.env {
		args = append(args, "--env", e)
	}
	if len(command) == 0 {
		command = []string{"sh"}
	}
	return append(append(args, "--", image), command...), nil
}
