package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/docker/compose/v5/cmd/compatibility"
)

// Run runs one command line, with the program's name in front, and returns the
// exit status. What the docker command calls as its plugin is answered as one.
// Otherwise it is `berth compose`, or under the name docker-compose the program
// of that name. version is Berth's.
func Run(args []string, version string) int {
	docker, err := command.NewDockerCli(command.WithUserAgent("berth-compose/" + version))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	err = execute(docker, args)
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[cli.StatusError](err); ok {
		// One that is a status alone has said what there is to say.
		if status.Status != "" || status.Cause != nil {
			fmt.Fprintln(docker.Err(), status)
		}
		return max(status.StatusCode, 1)
	}
	fmt.Fprintln(docker.Err(), err)
	return 1
}

func execute(docker *command.DockerCli, args []string) error {
	if !plugin.RunningStandalone() {
		cmd, err := Command(docker, "docker")
		if err != nil {
			return err
		}
		return plugin.RunPlugin(docker, cmd, metadata.Metadata{
			SchemaVersion: "0.1.0", Vendor: "Berth", Version: libraryVersion(),
		})
	}
	name := "berth"
	if filepath.Base(args[0]) == "docker-compose" {
		name = "docker"
	}
	return top(docker, name, compatibility.Convert(args[1:]))
}
