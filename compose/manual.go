package compose

import (
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// Manual is `berth compose` for manual pages. It is not to be executed.
func Manual() (*cobra.Command, error) {
	docker, err := command.NewDockerCli()
	if err != nil {
		return nil, err
	}
	cmd, err := Command(docker, "berth")
	if err != nil {
		return nil, err
	}
	(&cobra.Command{Use: "berth"}).AddCommand(cmd)
	withoutFlags(cmd)
	return cmd, nil
}
