package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newVolume(s *Session) *cobra.Command {
	return group("volume", "Manage volumes",
		newVolumeCp(s), newVolumeCreate(s), newVolumeExport(s), newVolumeImport(s), newVolumeInspect(s), newVolumeLs(s), newVolumeMv(s),
		newVolumePrune(s), newVolumeRestore(s), newVolumeRm(s), newVolumeSnapshot(s))
}

func newVolumeCreate(s *Session) *cobra.Command {
	var o client.VolumeCreateOptions
	var labels opts.List
	options := opts.Map{}
	labels.Check = opts.CheckLabel
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] [VOLUME]",
		Short: "Create a volume",
		Args:  optionalArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if o.Name != "" {
					return errors.New("conflicting options: cannot specify a volume name through both --name and as a positional arg")
				}
				o.Name = args[0]
			}
			o.DriverOpts, o.Labels = options.Values, map[string]string{}
			for _, l := range labels.Values {
				key, value, _ := strings.Cut(l, "=")
				o.Labels[key] = value
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			r, err := api.VolumeCreate(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintln(s.IO.Out, r.Volume.Name)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Driver, "driver", "d", "local", "Specify volume driver name")
	f.StringVar(&o.Name, "name", "", "Specify volume name")
	_ = f.MarkHidden("name")
	f.VarP(&options, "opt", "o", "Set driver specific options")
	f.Var(&labels, "label", "Set metadata for a volume")
	return cmd
}

func newVolumeLs(s *Session) *cobra.Command {
	var (
		quiet  bool
		text   string
		filter opts.Filter
	)
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List volumes",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			list, err := api.VolumeList(cmd.Context(), client.VolumeListOptions{Filters: filter.Values})
			if err != nil {
				return err
			}
			switch {
			case quiet && (text == "" || text == format.Table):
				text = "{{.Name}}"
			case text == "" && s.settings().VolumesFormat != "":
				text = s.settings().VolumesFormat
			case text == format.Raw:
				text = format.VolumeRaw(quiet)
			case text == "" || text == format.Table:
				text = format.VolumeTable
			}
			return format.List(s.IO.Out, text, format.VolumeHeader, format.Volumes(list.Items))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&quiet, "quiet", "q", false, "Only display volume names")
	f.StringVar(&text, "format", "", formatHelp)
	f.VarP(&filter, "filter", "f", `Provide filter values (e.g. "dangling=true")`)
	_ = cmd.RegisterFlagCompletionFunc("filter", completeWords("dangling=true", "dangling=false", "driver=", "label=", "name="))
	return cmd
}

func newVolumeInspect(s *Session) *cobra.Command {
	var text string
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] VOLUME [VOLUME...]",
		Short: "Display detailed information on one or more volumes",
		Args:  someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.inspect(cmd.Context(), args, text, inspectVolume)
		},
		ValidArgsFunction: s.completeVolumes(-1),
	}
	cmd.Flags().StringVarP(&text, "format", "f", "", inspectFormatHelp)
	return cmd
}

func inspectVolume(ctx context.Context, api *client.Client, name string) (format.Found, error) {
	r, err := api.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	return format.Found{Value: r.Volume, Raw: r.Raw}, err
}

func newVolumeRm(s *Session) *cobra.Command {
	var force, dry bool
	cmd := &cobra.Command{
		Use:     "rm [OPTIONS] VOLUME [VOLUME...]",
		Aliases: []string{"remove"},
		Short:   "Remove one or more volumes",
		Long:    "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
		Args:    someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if dry {
				return s.dryRun(cmd.Context(), "volumes", args, onFlags(map[string]bool{"force": force}))
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				_, err := api.VolumeRemove(ctx, name, client.VolumeRemoveOptions{Force: force})
				return err
			})
		},
		ValidArgsFunction: s.completeVolumes(-1),
	}
	f := cmd.Flags()
	f.BoolVarP(&force, "force", "f", false, "Force the removal of one or more volumes")
	dryRunFlag(f, &dry)
	return cmd
}

func newVolumePrune(s *Session) *cobra.Command {
	var all bool
	p := prune{kind: "volume", short: "Remove unused local volumes", example: "label=<label>"}
	p.choose = func(filter *opts.Filter) error {
		if !all {
			return nil
		}
		if _, given := filter.Values["all"]; given {
			return errors.New("conflicting options: cannot specify both --all and --filter all=1")
		}
		filter.Add("all", "true")
		return nil
	}
	p.what = func(filters client.Filters) string {
		kind := "anonymous local"
		if filters["all"]["true"] || filters["all"]["1"] {
			kind = "local"
		}
		return kind + " volumes not used by at least one container."
	}
	p.do = func(ctx context.Context, api *client.Client, filters client.Filters) error {
		r, err := api.VolumePrune(ctx, client.VolumePruneOptions{Filters: filters})
		if err == nil {
			deleted(s, "Volumes", r.Report.VolumesDeleted)
			s.reclaimed(r.Report.SpaceReclaimed)
		}
		return err
	}
	cmd := p.command(s)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "Remove all unused volumes, not just anonymous ones")
	return cmd
}

// completeVolumes offers names for the first limit arguments; -1: for any
// number.
func (s *Session) completeVolumes(limit int) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if limit >= 0 && len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		api, err := s.client(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := api.VolumeList(cmd.Context(), client.VolumeListOptions{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		return without(names, args), cobra.ShellCompDirectiveNoFileComp
	}
}
