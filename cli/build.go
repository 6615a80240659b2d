package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// builder is the program that builds: BuildKit's client is too heavy for this one.
const builder = "berth-build"

// newBuild makes the command that builds an image.
func newBuild(s *Session) *cobra.Command {
	return s.passedOn("build [OPTIONS] PATH | URL | -", "Build an image from a Dockerfile", 4, "build")
}

// newBuildx makes the group of all that the builder can do.
func newBuildx(s *Session) *cobra.Command {
	return s.passedOn("buildx COMMAND", "Build, bake and look at images with BuildKit", 0)
}

// newManifest makes the group of commands about lists of manifests.
func newManifest(s *Session) *cobra.Command {
	return s.passedOn("manifest COMMAND", "Manage image manifests and manifest lists", 0, "manifest")
}

// newBake makes the command that builds several images from a file.
func newBake(s *Session) *cobra.Command {
	return s.passedOn("bake [OPTIONS] [TARGET...]", "Build from a file", 0, "bake")
}

// newBuilder makes the group of commands about the build cache.
func newBuilder(s *Session) *cobra.Command {
	return group("builder", "Manage builds",
		s.passedOn("build [OPTIONS] PATH | URL | -", "Build an image from a Dockerfile", 0, "build"),
		s.passedOn("du", "Disk usage of the build cache", 0, "du"),
		s.passedOn("prune", "Remove build cache", 0, "prune"))
}

// passedOn is a command whose arguments are the builder's.
func (s *Session) passedOn(use, short string, place int, verb ...string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return s.become(builder, slices.Concat(verb, args)) },
		// What may stand there is the builder's to know; files are most of it.
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	if place > 0 {
		cmd.Annotations = map[string]string{commonKey: fmt.Sprint(place)}
	}
	return cmd
}
