package compose

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// top runs `NAME compose ARGS…` as a program of its own: with the flags that
// the docker command has before the verb, and berth-build as the builder.
func top(docker *command.DockerCli, name string, args []string) error {
	root := &cobra.Command{
		Use:                   fmt.Sprintf("%s [OPTIONS] COMMAND [ARG...]", name),
		SilenceUsage:          true,
		SilenceErrors:         true,
		TraverseChildren:      true,
		DisableFlagsInUseLine: true,
		CompletionOptions:     cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	options, flags := cli.SetupPluginRootCommand(root)
	root.Annotations = nil // where Docker's documentation is
	root.SetIn(docker.In())
	root.SetOut(docker.Out())
	root.SetErr(docker.Err())
	compose, err := Command(docker, name)
	if err != nil {
		return err
	}
	root.AddCommand(compose)
	withoutFlags(root)

	whole := cli.NewTopLevelCommand(root, docker, options, flags)
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		root.PersistentPreRunE = nil // Compose asks again and again
		if err := whole.Initialize(); err != nil {
			return err
		}
		return builders(docker)
	}
	whole.SetArgs(args)
	root, rest, err := whole.HandleGlobalFlags()
	if err != nil {
		return err
	}
	root.SetArgs(rest)
	return root.Execute()
}

// withoutFlags leaves out "[flags]" from usage lines.
func withoutFlags(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	for _, c := range cmd.Commands() {
		withoutFlags(c)
	}
}

// builders has builds done by the docker-buildx in the folder cli-plugins beside
// this program, which is berth-build, unless the user's configuration names
// another folder that has one.
func builders(docker *command.DockerCli) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return err
	}
	file := docker.ConfigFile()
	file.CLIPluginsExtraDirs = append(file.CLIPluginsExtraDirs, filepath.Join(filepath.Dir(self), "cli-plugins"))
	return nil
}
