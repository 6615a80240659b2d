package cli

import (
	"context"
	"errors"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// stopFlags are those of stop and restart.
type stopFlags struct {
	signal  string
	timeout int
}

func (o *stopFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.signal, "signal", "s", "", "Signal to send to the container")
	f.IntVarP(&o.timeout, "timeout", "t", 0, "Seconds to wait before killing the container")
	f.IntVar(&o.timeout, "time", 0, "Seconds to wait before killing the container (deprecated: use --timeout)")
	_ = f.MarkDeprecated("time", "use --timeout instead")
	_ = cmd.RegisterFlagCompletionFunc("signal", completeSignals)
}

// given is the timeout if one was given; without, the container's own counts.
func (o *stopFlags) given(f *pflag.FlagSet) (*int, error) {
	long, old := f.Changed("timeout"), f.Changed("time")
	switch {
	case long && old:
		return nil, errors.New("conflicting options: cannot specify both --timeout and --time")
	case long || old:
		return &o.timeout, nil
	}
	return nil, nil
}

func newStop(s *Session) *cobra.Command {
	var o stopFlags
	cmd := &cobra.Command{
		Use:         "stop [OPTIONS] CONTAINER [CONTAINER...]",
		Short:       "Stop one or more running containers",
		Args:        someArgs,
		Annotations: callable(0, "container stop", "stop"),
		RunE: func(cmd *cobra.Command, args []string) error {
			timeout, err := o.given(cmd.Flags())
			if err != nil {
				return err
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				_, err := api.ContainerStop(ctx, name, client.ContainerStopOptions{Signal: o.signal, Timeout: timeout})
				return err
			})
		},
		ValidArgsFunction: s.completeContainers(-1, false, nil),
	}
	o.add(cmd)
	return cmd
}
