package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/berth-engine/berth/api"
	"github.com/spf13/cobra"
)

func newMigrate(s *Session) *cobra.Command {
	var from, containerd string
	cmd := &cobra.Command{
		Use:   "migrate --from-docker DIR",
		Short: "Take over images, volumes and containers of a stopped Docker engine",
		Long: "Take over images, volumes and containers from the data-root of a Docker engine that does not run, usually /var/lib/docker\n" +
			"on the daemon's machine. Nothing is changed there. What is here by the same name already is left alone. Images get other\n" +
			"IDs; containers are not started.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return errors.New("say where from: --from-docker DIR")
			}
			query := url.Values{}
			for name, dir := range map[string]string{"path": from, "containerd": containerd} {
				if dir == "" {
					continue
				}
				abs, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				query.Set(name, abs)
			}
			return s.migrate(cmd.Context(), query)
		},
	}
	cmd.Flags().StringVar(&containerd, "containerd", "", "Root of the containerd that kept images for it (default: in DIR, or beside it)")
	cmd.Flags().StringVar(&from, "from-docker", "", "Data-root of the Docker engine")
	return cmd
}

func (s *Session) migrate(ctx context.Context, query url.Values) error {
	var m api.Migration
	if err := s.call(ctx, http.MethodPost, "/migrate/docker", query, nil, &m); err != nil {
		return err
	}
	failed := 0
	for _, kind := range []struct {
		what string
		list []api.Migrated
	}{{"volume", m.Volumes}, {"image", m.Images}, {"container", m.Containers}} {
		for _, o := range kind.list {
			if o.Error != "" {
				failed++
				fmt.Fprintf(s.IO.Err, "%s %s: not taken over: %s\n", kind.what, o.Name, o.Error)
				continue
			}
			fmt.Fprintf(s.IO.Out, "%s %s\n", kind.what, o.Name)
			if o.Note != "" {
				fmt.Fprintf(s.IO.Err, "%s %s: %s\n", kind.what, o.Name, o.Note)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of them were not taken over", failed)
	}
	return nil
}
