package compose

import (
	"fmt"
	"runtime/debug"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/compose/v5/cmd/cmdtrace"
	"github.com/docker/compose/v5/cmd/compose"
	"github.com/docker/compose/v5/cmd/prompt"
	library "github.com/docker/compose/v5/pkg/compose"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
)

// Command is `compose` with all its commands, for a command line whose first
// word is name. It connects to nothing until one of them runs.
func Command(docker *command.DockerCli, name string) (*cobra.Command, error) {
	e := &engine{DockerCli: docker}
	options := &compose.BackendOptions{Options: []library.Option{
		library.WithPrompt(prompt.NewPrompt(docker.In(), docker.Out()).Confirm),
	}}
	cmd := compose.RootCommand(e, options)
	cmd.Short = "Run applications of several containers"
	cmd.Long = "Run applications of several containers that compose.yaml describes: Docker Compose, for any engine that speaks Docker's API."
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return cli.StatusError{StatusCode: 1, Status: fmt.Sprintf(
			"unknown command %q for \"%s compose\"\nSee '%[2]s compose --help'", args[0], name)}
	}
	prepare := cmd.PersistentPreRunE
	cmd.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		if err := prepare(cmd, args); err != nil {
			return err
		}
		if err := cmdtrace.Setup(cmd, docker, args); err != nil {
			logrus.Debugf("failed to enable tracing: %v", err)
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return cli.StatusError{StatusCode: 1, Status: err.Error()}
	})
	return cmd, addRolling(cmd, e)
}

// libraryVersion is the version of Compose that is built in.
func libraryVersion() string {
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, m := range info.Deps {
			if m.Path == "github.com/docker/compose/v5" {
				return m.Version
			}
		}
	}
	return "unknown"
}
