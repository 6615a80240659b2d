package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/cli/format"
	"github.com/moby/moby/api/types/volume"
	"github.com/spf13/cobra"
)

// volumePath is the path of an operation that Berth adds.
func volumePath(name, operation string) string {
	return "/volumes/" + url.PathEscape(name) + "/" + operation
}

func newVolumeMv(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:     "mv VOLUME NEW_NAME",
		Aliases: []string{"rename"},
		Short:   "Rename a volume",
		Long:    "Rename a volume. Containers that refer to it, running ones too, find it under its new name.",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.call(cmd.Context(), http.MethodPost, volumePath(args[0], "rename"), url.Values{"name": {args[1]}}, nil, nil)
		},
		ValidArgsFunction: s.completeVolumes(1),
	}
}

func newVolumeCp(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:   "cp VOLUME NEW_VOLUME",
		Short: "Copy a volume to a new one",
		Long: "Copy a volume to a new one. Where the file system can share the blocks of files, the copy is made at once and takes no space.\n" +
			"What containers write meanwhile may be in the copy or not.",
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var made volume.Volume
			body := api.VolumeCopyRequest{Name: args[1]}
			if err := s.call(cmd.Context(), http.MethodPost, volumePath(args[0], "copy"), nil, body, &made); err != nil {
				return err
			}
			if warning, ok := made.Status["Warning"].(string); ok {
				fmt.Fprintln(s.IO.Err, "WARNING:", warning)
			}
			fmt.Fprintln(s.IO.Out, made.Name)
			return nil
		},
		ValidArgsFunction: s.completeVolumes(1),
	}
}

func newVolumeSnapshot(s *Session) *cobra.Command {
	var list, remove, dry bool
	cmd := &cobra.Command{
		Use:   "snapshot [OPTIONS] VOLUME [SNAPSHOT]",
		Short: "Keep the files of a volume as they are now",
		Long:  "Keep the files of a volume as they are now, under a name; without one, it is made of the time. Snapshots go with their volume.",
		Args:  oneOrTwoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"snapshot": args[1:]}
			path := volumePath(args[0], "snapshots")
			switch {
			case dry && !remove:
				return errors.New("--dry-run goes with --rm")
			case list && remove:
				return errors.New("conflicting options: cannot specify both --list and --rm")
			case list:
				found, err := s.snapshots(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return format.List(s.IO.Out, format.SnapshotTable, format.SnapshotHeader, format.Snapshots(found))
			case remove && len(args) < 2:
				return errors.New("--rm needs the name of a snapshot")
			case dry:
				return s.wouldRemoveSnapshot(cmd.Context(), args[0], args[1])
			case remove:
				return s.call(cmd.Context(), http.MethodDelete, path, query, nil, nil)
			}
			var made api.VolumeSnapshot
			if err := s.call(cmd.Context(), http.MethodPost, path, query, nil, &made); err != nil {
				return err
			}
			if made.Warning != "" {
				fmt.Fprintln(s.IO.Err, "WARNING:", made.Warning)
			}
			fmt.Fprintln(s.IO.Out, made.Name)
			return nil
		},
		ValidArgsFunction: s.completeVolumes(1),
	}
	cmd.Flags().BoolVarP(&list, "list", "l", false, "List the snapshots of the volume")
	cmd.Flags().BoolVar(&remove, "rm", false, "Remove the snapshot")
	dryRunFlag(cmd.Flags(), &dry)
	return cmd
}

func (s *Session) snapshots(ctx context.Context, volume string) (found []api.VolumeSnapshot, err error) {
	err = s.call(ctx, http.MethodGet, volumePath(volume, "snapshots"), nil, nil, &found)
	return found, err
}

func (s *Session) wouldRemoveSnapshot(ctx context.Context, volume, snapshot string) error {
	found, err := s.snapshots(ctx, volume)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found, func(v api.VolumeSnapshot) bool { return v.Name == snapshot }) {
		return fmt.Errorf("volume %s has no snapshot %q", volume, snapshot)
	}
	fmt.Fprintf(s.IO.Out, "Would remove snapshot: %s of volume %s\n", snapshot, volume)
	return nil
}

func newVolumeRestore(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:   "restore VOLUME SNAPSHOT",
		Short: "Put the files of a snapshot in place of those of the volume",
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.call(cmd.Context(), http.MethodPost, volumePath(args[0], "restore"), url.Values{"snapshot": args[1:]}, nil, nil)
		},
		ValidArgsFunction: s.completeVolumes(1),
	}
}

func newVolumeExport(s *Session) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export [OPTIONS] VOLUME",
		Short: "Export the files of a volume as a tar archive",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" && s.IO.OutTTY() {
				return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
			}
			body, err := s.request(cmd.Context(), http.MethodGet, volumePath(args[0], "archive"), nil, nil, "")
			if err != nil {
				return err
			}
			defer body.Close()
			if output == "" {
				_, err := io.Copy(s.IO.Out, body)
				return err
			}
			return saveStream(output, body)
		},
		ValidArgsFunction: s.completeVolumes(1),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	return cmd
}

func newVolumeImport(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE|- VOLUME",
		Short: "Make a new volume with the files of a tar archive",
		Long:  "Make a new volume with the files of a tar archive, which may be compressed. Use '-' to read it from STDIN.",
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := s.IO.In
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			body, err := s.request(cmd.Context(), http.MethodPut, volumePath(args[1], "archive"), nil, io.NopCloser(in), "application/x-tar")
			if err != nil {
				return err
			}
			defer body.Close()
			fmt.Fprintln(s.IO.Out, args[1])
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
}
