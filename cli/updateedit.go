package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/spf13/pflag"
)

// editFlags say what more than Docker's update to change.
type editFlags struct {
	containerFlags // those that create has, too

	envRm, labelRm, logOptRm, publishRm, mountRm opts.List
	dryRun                                       bool
}

func (e *editFlags) add(f *pflag.FlagSet) {
	e.env.Check, e.label.Check = opts.CheckEnv, opts.CheckLabel
	f.VarP(&e.env, "env", "e", "Set environment variables (runs the container anew)")
	f.Var(&e.envRm, "env-rm", "Remove environment variables (runs the container anew)")
	f.VarP(&e.label, "label", "l", "Set meta data on the container")
	f.Var(&e.labelRm, "label-rm", "Remove meta data of the container")
	f.StringVar(&e.logDriver, "log-driver", "", "Logging driver for the container (runs it anew)")
	f.Var(&e.logOpt, "log-opt", "Log driver options")
	f.Var(&e.logOptRm, "log-opt-rm", "Remove log driver options")
	f.VarP(&e.publish, "publish", "p", "Publish more ports of the container to the host")
	f.Var(&e.publishRm, "publish-rm", "Take back what is published of a port of the container (port[/proto])")
	f.VarP(&e.volume, "volume", "v", "Bind mount one more volume")
	f.Var(&e.mount, "mount", "Attach one more filesystem mount to the container")
	f.Var(&e.mountRm, "mount-rm", "Take off what is mounted at a path of the container")
	f.BoolVar(&e.dryRun, "dry-run", false, "Print what would change and how, and change nothing")
	e.addHealth(f)
}

// edit turns the flags into what the API wants; nil: nothing was given.
func (e *editFlags) edit(f *pflag.FlagSet) (*api.ContainerEdit, error) {
	given := false
	for _, name := range []string{
		"env", "env-rm", "label", "label-rm", "log-driver", "log-opt", "log-opt-rm", "publish", "publish-rm", "volume", "mount", "mount-rm",
		"health-cmd", "health-interval", "health-retries", "health-start-interval", "health-start-period", "health-timeout", "no-healthcheck",
	} {
		given = given || f.Changed(name)
	}
	if !given {
		return nil, nil
	}
	edit := &api.ContainerEdit{
		Env: changedPairs(e.env.Values, e.envRm.Values), Labels: changedPairs(e.label.Values, e.labelRm.Values),
		LogDriver: e.logDriver, LogOptions: changedPairs(e.logOpt.Values, e.logOptRm.Values),
		Mounts: e.mount.Values, Unmount: e.mountRm.Values,
	}
	var err error
	if edit.Healthcheck, err = e.health(); err != nil {
		return nil, err
	}
	if _, edit.Publish, err = opts.Publish(e.publish.Values); err != nil {
		return nil, err
	}
	for _, spec := range e.publishRm.Values {
		port, err := network.ParsePort(spec)
		if err != nil {
			return nil, fmt.Errorf("--publish-rm %s: %w", spec, err)
		}
		edit.Unpublish = append(edit.Unpublish, port)
	}
	for _, spec := range e.volume.Values {
		bind, anonymous, err := opts.ParseVolume(spec)
		if err != nil {
			return nil, err
		}
		if anonymous != "" {
			bind = anonymous
		}
		edit.Binds = append(edit.Binds, bind)
	}
	return edit, nil
}

// changedPairs maps names to values, and those to be removed to nil. A NAME
// without a value is removed, too.
func changedPairs(set, remove []string) map[string]*string {
	if len(set)+len(remove) == 0 {
		return nil
	}
	out := map[string]*string{}
	for _, name := range remove {
		out[name] = nil
	}
	for _, pair := range set {
		name, value, ok := strings.Cut(pair, "=")
		if out[name] = nil; ok {
			out[name] = &value
		}
	}
	return out
}

// editAll changes one container after the other by Berth's own request, and
// tells the warnings at the end.
func (s *Session) editAll(ctx context.Context, names []string, o client.ContainerUpdateOptions, edit *api.ContainerEdit, dry bool) error {
	q := api.ContainerUpdateRequest{Edit: edit, UpdateConfig: container.UpdateConfig{Resources: *o.Resources}}
	if o.RestartPolicy != nil {
		q.RestartPolicy = *o.RestartPolicy
	}
	query := url.Values{}
	if dry {
		query.Set("dry-run", "1")
	}
	var warnings []string
	var errs []error
	for _, name := range names {
		var r api.ContainerUpdateResponse
		if err := s.call(ctx, http.MethodPost, "/containers/"+url.PathEscape(name)+"/update", query, q, &r); err != nil {
			errs = append(errs, err)
			continue
		}
		warnings = append(warnings, r.Warnings...)
		fmt.Fprintln(s.IO.Out, name)
		if dry {
			errs = append(errs, printChanges(s.IO.Out, &r))
		}
	}
	if len(warnings) > 0 {
		fmt.Fprintln(s.IO.Out, strings.Join(warnings, "\n"))
	}
	return errors.Join(errs...)
}

// printChanges shows the differences, one a line.
func printChanges(w io.Writer, r *api.ContainerUpdateResponse) error {
	if len(r.Changes) == 0 {
		_, err := fmt.Fprintln(w, "  nothing changes")
		return err
	}
	how := map[string]string{
		api.EffectLive: "at once", api.EffectStart: "from the next start on", api.EffectRecreate: "needs a new run",
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Changes {
		if c.Old != "" {
			fmt.Fprintf(tw, "  - %s\t%s\t%s\n", c.Field, c.Old, how[c.Effect])
		}
		if c.New != "" {
			fmt.Fprintf(tw, "  + %s\t%s\t%s\n", c.Field, c.New, how[c.Effect])
		}
	}
	if r.Recreated {
		fmt.Fprintln(tw, "  The container would be run anew, with the same ID, name, addresses, volumes, files and logs.")
	}
	return tw.Flush()
}
