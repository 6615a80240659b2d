package compose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	library "github.com/docker/compose/v5/pkg/compose"
	"github.com/spf13/cobra"
)

// addRolling adds --rolling to `up`.
func addRolling(compose *cobra.Command, e *engine) error {
	up, _, err := compose.Find([]string{"up"})
	if err != nil {
		return err
	}
	f := up.Flags()
	asked := f.Bool("rolling", false, "Replace containers without a gap: start the new one beside the old one, wait until it is ready, "+
		"lead the published ports to it, then stop the old one. Implies detached mode.")
	check, run := up.PreRunE, up.RunE
	up.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *asked {
			for _, name := range []string{"no-start", "no-recreate", "watch", "attach", "attach-dependencies", "abort-on-container-exit", "abort-on-container-failure", "exit-code-from", "dry-run"} {
				if cmd.Flags().Changed(name) {
					return fmt.Errorf("--rolling cannot be combined with --%s", name)
				}
			}
			if err := f.Set("detach", "true"); err != nil {
				return err
			}
		}
		return check(cmd, args)
	}
	up.RunE = func(cmd *cobra.Command, args []string) error {
		if !*asked && (cmd.Flags().Changed("dry-run") || !anyLeft(cmd.Context(), e.DockerCli.Client())) {
			return run(cmd, args)
		}
		seconds, err := f.GetInt("wait-timeout")
		if err != nil {
			return err
		}
		project, err := readProject(cmd.Context(), compose, e)
		if err != nil {
			return err
		}
		p := plan{project.Services, time.Duration(seconds) * time.Second}
		if *asked {
			if err := p.check(); err != nil {
				return err
			}
		}
		r := newRolling(e.DockerCli.Client(), p, func(format string, args ...any) { fmt.Fprintf(e.Err(), " "+format+"\n", args...) })
		if err := r.mend(cmd.Context(), project.Name); err != nil {
			return err
		}
		if !*asked {
			return run(cmd, args)
		}
		e.rolling = r
		defer func() { e.rolling = nil }()
		// An interrupted update leaves what it had not begun as it was.
		return errors.Join(run(cmd, args), r.rest(context.WithoutCancel(cmd.Context())))
	}
	return nil
}

// readProject loads the application that compose's flags name.
func readProject(ctx context.Context, compose *cobra.Command, e *engine) (*types.Project, error) {
	f := compose.Flags()
	name, err1 := f.GetString("project-name")
	dir, err2 := f.GetString("project-directory")
	files, err3 := f.GetStringArray("file")
	env, err4 := f.GetStringArray("env-file")
	profiles, err5 := f.GetStringArray("profile")
	compatible, err6 := f.GetBool("compatibility")
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	backend, err := library.NewComposeService(e.DockerCli)
	if err != nil {
		return nil, err
	}
	return backend.LoadProject(ctx, api.ProjectLoadOptions{
		ProjectName: name, ConfigPaths: files, WorkingDir: dir, EnvFiles: env, Profiles: profiles, Compatibility: compatible,
		ProjectOptionsFns: []cli.ProjectOptionsFn{cli.WithoutEnvironmentResolution},
	})
}
