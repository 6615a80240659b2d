// Command berth-build builds images: `berth build`, `berth buildx` and `berth
// bake` execute it. It is Docker's buildx as a library, with the drivers that
// talk to an engine or a BuildKit daemon. Under the name docker-buildx, in a
// folder of plugins, it serves the stock docker command and Compose as well.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/docker/buildx/commands"
	"github.com/docker/buildx/util/cobrautil"
	buildx "github.com/docker/buildx/version"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	solvererrdefs "github.com/moby/buildkit/solver/errdefs"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	_ "github.com/berth-engine/berth/cmd/berth-build/heap" // first of all
	_ "github.com/docker/buildx/driver/docker"             // the engine's own builder
	_ "github.com/docker/buildx/driver/docker-container"   // BuildKit in a container
	_ "github.com/docker/buildx/driver/remote"             // a BuildKit daemon elsewhere
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
)

var version = "0.1.0-dev" // set by the linker

// name is how users call it; the engine's own commands execute it so.
const name = "berth buildx"

func main() {
	docker, err := command.NewDockerCli(command.WithUserAgent("berth-build/" + version))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := run(docker); err != nil {
		os.Exit(report(docker, err))
	}
}

// run is a plugin if the docker command calls it as one.
func run(docker *command.DockerCli) error {
	buildx.Version = version
	if !plugin.RunningStandalone() {
		return plugin.RunPlugin(docker, rootCommand("buildx", true, docker), metadata.Metadata{
			SchemaVersion: "0.1.0", Vendor: "Berth", Version: libraryVersion(),
		})
	}
	return rootCommand(name, false, docker).Execute()
}

// libraryVersion is buildx's: Compose asks for at least a certain one.
func libraryVersion() string {
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, m := range info.Deps {
			if m.Path == "github.com/docker/buildx" {
				return m.Version
			}
		}
	}
	return "unknown"
}

// rootCommand is buildx's, but that --squash is refused, which buildx ignores,
// and that what removes something has --dry-run.
func rootCommand(name string, isPlugin bool, docker *command.DockerCli) *cobra.Command {
	root := commands.NewRootCmd(name, isPlugin, docker)
	for _, c := range root.Commands() {
		if f := c.Flags().Lookup("squash"); f != nil {
			f.Value = noSquash{f.Value}
		}
	}
	addDryRuns(root, docker)
	spareGit(root)
	if !isPlugin {
		root.AddCommand(manifestCommand(docker))
	}
	return root
}

// noSquash is a flag that cannot be given.
type noSquash struct{ pflag.Value }

func (noSquash) Set(string) error {
	return errors.New("BuildKit cannot squash layers: copy into a last stage FROM scratch instead")
}

// report says what went wrong and returns the exit status, as buildx does.
func report(docker *command.DockerCli, err error) int {
	if status, ok := errors.AsType[cli.StatusError](err); ok {
		if status.Status != "" {
			fmt.Fprintln(docker.Err(), status.Status)
		}
		return max(status.StatusCode, 1)
	}
	if code, ok := errors.AsType[cobrautil.ExitCodeError](err); ok {
		return int(code)
	}
	for _, s := range solvererrdefs.Sources(err) {
		_ = s.Print(docker.Err())
	}
	fmt.Fprintf(docker.Err(), "ERROR: %v\n", err)
	if errors.Is(err, context.Canceled) {
		return 130
	}
	return 1
}
