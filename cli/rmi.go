package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/berth-engine/berth/cli/opts"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type rmiFlags struct {
	force, noPrune, dry bool
	platforms           opts.Platforms
}

// newImageRm makes "rm" below "image".
func newImageRm(s *Session) *cobra.Command {
	cmd := newRmi(s)
	cmd.Use, cmd.Aliases = "rm [OPTIONS] IMAGE [IMAGE...]", []string{"rmi", "remove"}
	return cmd
}

func newRmi(s *Session) *cobra.Command {
	var o rmiFlags
	cmd := &cobra.Command{
		Use:               "rmi [OPTIONS] IMAGE [IMAGE...]",
		Short:             "Remove one or more images",
		Args:              someArgs,
		Annotations:       callable(0, "image rm", "image remove", "rmi"),
		RunE:              func(cmd *cobra.Command, args []string) error { return s.rmi(cmd.Context(), args, o) },
		ValidArgsFunction: s.completeImages(-1),
	}
	f := cmd.Flags()
	dryRunFlag(f, &o.dry)
	f.BoolVarP(&o.force, "force", "f", false, "Force removal of the image")
	f.BoolVar(&o.noPrune, "no-prune", false, "Do not delete untagged parents")
	f.Var(opts.PlatformList{Platforms: &o.platforms}, "platform", `Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")`)
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
	return cmd
}

// rmi removes one after the other: a later name may be the last of an image
// only when an earlier one is gone.
func (s *Session) rmi(ctx context.Context, names []string, o rmiFlags) error {
	if o.dry {
		query := onFlags(map[string]bool{"force": o.force})
		for _, p := range o.platforms {
			text, err := json.Marshal(p)
			if err != nil {
				return err
			}
			query.Add("platforms", string(text))
		}
		return s.dryRun(ctx, "images", names, query)
	}
	call := client.ImageRemoveOptions{Force: o.force, PruneChildren: !o.noPrune, Platforms: o.platforms}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	var errs []error
	fatal := false
	for _, name := range names {
		r, err := api.ImageRemove(ctx, name, call)
		if err != nil {
			fatal = fatal || !cerrdefs.IsNotFound(err)
			errs = append(errs, err)
			continue
		}
		for _, d := range r.Items {
			if d.Deleted != "" {
				fmt.Fprintln(s.IO.Out, "Deleted:", d.Deleted)
			} else {
				fmt.Fprintln(s.IO.Out, "Untagged:", d.Untagged)
			}
		}
	}
	err = errors.Join(errs...)
	if err != nil && o.force && !fatal {
		fmt.Fprintln(s.IO.Err, err)
		return nil
	}
	return err
}
