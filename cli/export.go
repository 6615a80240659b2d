package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newExport(s *Session) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:         "export [OPTIONS] CONTAINER",
		Short:       "Export a container's filesystem as a tar archive",
		Args:        exactArgs(1),
		Annotations: callable(0, "container export", "export"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" && s.IO.OutTTY() {
				return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
			}
			if output != "" {
				if _, err := outputPath(output); err != nil {
					return fmt.Errorf("failed to export container: %w", err)
				}
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			body, err := api.ContainerExport(cmd.Context(), args[0], client.ContainerExportOptions{})
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
		ValidArgsFunction: s.completeContainers(1, true, nil),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	return cmd
}

// saveStream writes a file that is complete or not there.
func saveStream(name string, r io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-"+filepath.Base(name))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err := io.Copy(f, r); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
