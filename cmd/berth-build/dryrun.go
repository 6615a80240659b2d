package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/docker/buildx/builder"
	"github.com/docker/buildx/store/storeutil"
	"github.com/docker/cli/cli/command"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/spf13/cobra"
)

// preview says what a command would remove, and removes nothing.
type preview func(cmd *cobra.Command, args []string) error

// addDryRuns gives --dry-run to the commands of buildx that remove something.
func addDryRuns(root *cobra.Command, docker command.Cli) {
	for _, c := range root.Commands() {
		switch c.Name() {
		case "prune":
			addDryRun(c, func(cmd *cobra.Command, _ []string) error { return prunePreview(cmd, docker) })
		case "rm":
			addDryRun(c, func(cmd *cobra.Command, args []string) error { return builderPreview(cmd, docker, args) })
		case "history":
			for _, sub := range c.Commands() {
				if sub.Name() == "rm" {
					addDryRun(sub, func(cmd *cobra.Command, args []string) error { return historyPreview(cmd, docker, args) })
				}
			}
		}
	}
}

func addDryRun(cmd *cobra.Command, show preview) {
	dry := cmd.Flags().Bool("dry-run", false, "Only show what would be removed")
	remove := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *dry {
			return show(cmd, args)
		}
		return remove(cmd, args)
	}
}

// loadNodes finds the nodes of the builder that a command is for.
func loadNodes(ctx context.Context, cmd *cobra.Command, docker command.Cli) ([]builder.Node, error) {
	if f := cmd.Flags().Lookup("timeout"); f != nil {
		wait, err := cmd.Flags().GetDuration("timeout")
		if err != nil {
			return nil, err
		}
		if wait > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, wait)
			defer cancel()
		}
	}
	b, err := builder.New(docker, builder.WithName(cmd.Flag("builder").Value.String()))
	if err != nil {
		return nil, err
	}
	nodes, err := b.LoadNodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.Err != nil {
			return nil, n.Err
		}
	}
	return nodes, nil
}

// builderPreview is for the removal of builders.
func builderPreview(cmd *cobra.Command, docker command.Cli, names []string) error {
	inactive, err := cmd.Flags().GetBool("all-inactive")
	if err != nil {
		return err
	}
	if inactive && len(names) > 0 {
		return fmt.Errorf("cannot specify builder name when --all-inactive is set")
	}
	txn, release, err := storeutil.GetStore(docker)
	if err != nil {
		return err
	}
	defer release()
	if inactive {
		all, err := builder.GetBuilders(docker, txn)
		if err != nil {
			return err
		}
		for _, b := range all {
			if b.DockerContext || b.Dynamic {
				continue
			}
			if _, err := b.LoadNodes(cmd.Context(), builder.WithData(), builder.WithSkippedImageOpt()); err != nil {
				return fmt.Errorf("cannot load %s: %w", b.Name, err)
			}
			if b.Inactive() {
				fmt.Fprintln(docker.Out(), "Would remove builder:", b.Name)
			}
		}
		return nil
	}
	if len(names) == 0 {
		names = []string{cmd.Flag("builder").Value.String()}
	}
	for _, name := range names {
		b, err := builder.New(docker, builder.WithName(name), builder.WithStore(txn), builder.WithSkippedValidation())
		if err != nil {
			return err
		}
		if b.DockerContext {
			return fmt.Errorf("context builder cannot be removed, run `docker context rm %s` to remove this context", b.Name)
		}
		fmt.Fprintln(docker.Out(), "Would remove builder:", b.Name)
	}
	return nil
}

// historyPreview is for the removal of records of builds.
func historyPreview(cmd *cobra.Command, docker command.Cli, refs []string) error {
	all, err := cmd.Flags().GetBool("all")
	switch {
	case err != nil:
		return err
	case all == (len(refs) > 0):
		return fmt.Errorf("rm requires either --all or at least one argument")
	}
	nodes, err := loadNodes(cmd.Context(), cmd, docker)
	if err != nil {
		return err
	}
	var kept []string
	for _, n := range nodes {
		if n.Driver == nil {
			continue
		}
		list, err := records(cmd.Context(), n)
		if err != nil {
			return err
		}
		kept = append(kept, list...)
	}
	if all {
		refs = kept
	}
	for _, ref := range refs {
		if !slices.Contains(kept, ref) {
			return fmt.Errorf("no record of a build %q", ref)
		}
		fmt.Fprintln(docker.Out(), "Would remove build record:", ref)
	}
	return nil
}

// records are the references of the builds that a node remembers.
func records(ctx context.Context, n builder.Node) (refs []string, err error) {
	c, err := n.Driver.Client(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := c.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{EarlyExit: true})
	if err != nil {
		return nil, err
	}
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return refs, nil
		}
		if err != nil {
			return nil, err
		}
		if event.Type == controlapi.BuildHistoryEventType_COMPLETE {
			refs = append(refs, event.Record.Ref)
		}
	}
}
