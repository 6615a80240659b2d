package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/containerd/log"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/image/manifestlist"
)

// manifestCommand is `docker manifest`, whose own package cannot be linked: its
// commands and flags are the same.
func manifestCommand(docker *command.DockerCli) *cobra.Command {
	lists := func(insecure bool) manifestlist.Lists {
		_ = log.SetLevel("error") // what else containerd says of a request is in the error
		return manifestlist.Lists{
			Dir: filepath.Join(config.Dir(), "manifests"), Registry: newRegistries(docker, insecure), Out: docker.Out(),
		}
	}
	cmd := &cobra.Command{
		Use: "manifest COMMAND", Short: "Manage image manifests and manifest lists", Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(manifestAnnotate(lists), manifestCreate(lists), manifestInspect(lists), manifestPush(lists), manifestRemove(lists))
	for _, c := range cmd.Commands() {
		c.RunE = saidPlainly(c.RunE)
	}
	return cmd
}

// saidPlainly makes errors such that nothing stands before them, as docker's own
// commands print them, unlike buildx's.
func saidPlainly(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		if err == nil || errors.Is(err, context.Canceled) {
			return err
		}
		return cli.StatusError{Status: err.Error(), StatusCode: 1, Cause: err}
	}
}

// listsOf makes the user's lists, with registries that may be insecure or not.
type listsOf func(insecure bool) manifestlist.Lists

func manifestCreate(lists listsOf) *cobra.Command {
	var amend, insecure bool
	cmd := &cobra.Command{
		Use: "create MANIFEST_LIST MANIFEST [MANIFEST...]", Short: "Create a local manifest list for annotating and pushing to a registry",
		Args: cli.RequiresMinArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return lists(insecure).Create(cmd.Context(), args[0], args[1:], amend)
		},
	}
	cmd.Flags().BoolVarP(&amend, "amend", "a", false, "Amend an existing manifest list")
	insecureFlag(cmd, &insecure)
	return cmd
}

func manifestAnnotate(lists listsOf) *cobra.Command {
	var p manifestlist.Platform
	cmd := &cobra.Command{
		Use: "annotate [OPTIONS] MANIFEST_LIST MANIFEST", Short: "Add additional information to a local image manifest",
		Args: cli.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return lists(false).Annotate(args[0], args[1], p) },
	}
	f := cmd.Flags()
	f.StringVar(&p.OS, "os", "", "Set operating system")
	f.StringVar(&p.Arch, "arch", "", "Set architecture")
	f.StringVar(&p.OSVersion, "os-version", "", "Set operating system version")
	f.StringSliceVar(&p.OSFeatures, "os-features", nil, "Set operating system feature")
	f.StringVar(&p.Variant, "variant", "", "Set architecture variant")
	return cmd
}

func manifestInspect(lists listsOf) *cobra.Command {
	var verbose, insecure bool
	cmd := &cobra.Command{
		Use: "inspect [OPTIONS] [MANIFEST_LIST] MANIFEST", Short: "Display an image manifest, or manifest list",
		Args: cli.RequiresRangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			list := ""
			if len(args) == 2 {
				list, args = args[0], args[1:]
			}
			return lists(insecure).Inspect(cmd.Context(), list, args[0], verbose)
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "Output additional info including layers and platform")
	insecureFlag(cmd, &insecure)
	return cmd
}

func manifestPush(lists listsOf) *cobra.Command {
	var purge, insecure bool
	cmd := &cobra.Command{
		Use: "push [OPTIONS] MANIFEST_LIST", Short: "Push a manifest list to a repository", Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return lists(insecure).Push(cmd.Context(), args[0], purge)
		},
	}
	cmd.Flags().BoolVarP(&purge, "purge", "p", false, "Remove the local manifest list after push")
	insecureFlag(cmd, &insecure)
	return cmd
}

func manifestRemove(lists listsOf) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rm [OPTIONS] MANIFEST_LIST [MANIFEST_LIST...]", Short: "Delete one or more manifest lists from local storage", Args: cli.RequiresMinArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return lists(false).Remove(args) },
	}
	addDryRun(cmd, func(_ *cobra.Command, args []string) error { return lists(false).WouldRemove(args) })
	return cmd
}

func insecureFlag(cmd *cobra.Command, v *bool) {
	cmd.Flags().BoolVar(v, "insecure", false, "Allow communication with an insecure registry")
}
