package cli

import (
	"context"
	"io"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newLogs(s *Session) *cobra.Command {
	o := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true}
	var grep string
	cmd := &cobra.Command{
		Use:               "logs [OPTIONS] CONTAINER",
		Short:             "Fetch the logs of a container",
		Args:              exactArgs(1),
		Annotations:       callable(0, "container logs", "logs"),
		RunE:              func(cmd *cobra.Command, args []string) error { return s.logs(cmd.Context(), args[0], grep, o) },
		ValidArgsFunction: s.completeContainers(1, true, nil),
	}
	f := cmd.Flags()
	f.BoolVar(&o.Details, "details", false, "Show extra details provided to logs")
	f.BoolVarP(&o.Follow, "follow", "f", false, "Follow log output")
	f.StringVar(&grep, "grep", "", "Show only lines that match this regular expression (RE2)")
	f.StringVar(&o.Since, "since", "", `Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`)
	f.StringVarP(&o.Tail, "tail", "n", "all", "Number of lines to show from the end of the logs")
	f.BoolVarP(&o.Timestamps, "timestamps", "t", false, "Show timestamps")
	f.StringVar(&o.Until, "until", "", `Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`)
	return cmd
}

func (s *Session) logs(ctx context.Context, name, grep string, o client.ContainerLogsOptions) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	// Whether the stream is one or two depends on the container's terminal.
	c, err := api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	if grep != "" {
		s.query = map[string]string{"grep": grep}
	}
	body, err := api.ContainerLogs(ctx, c.Container.ID, o)
	if err != nil {
		return err
	}
	defer body.Close()
	if c.Container.Config.Tty {
		_, err = io.Copy(s.IO.Out, body)
	} else {
		_, err = stdcopy.StdCopy(s.IO.Out, s.IO.Err, body)
	}
	if ctx.Err() != nil {
		return ctx.Err() // the read's own error hides that we were told to end
	}
	return err
}
