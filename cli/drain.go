package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/api"
)

func newDrain(s *Session) *cobra.Command {
	var wait uint32
	cmd := &cobra.Command{
		Use:   "drain [OPTIONS] CONTAINER [CONTAINER...]",
		Short: "Take containers out of their published ports",
		Long: "Take containers out of their published ports: they get no new connections, and those that they have go on.\n" +
			"Other containers of the same Compose service that publish the same ports get what comes.",
		Args: someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				turn, err := s.drain(ctx, name, "drain", url.Values{"wait": {strconv.FormatUint(uint64(wait), 10)}})
				if err == nil && wait > 0 && turn.Connections > 0 {
					err = fmt.Errorf("container %s still has %d connections after %d s", name, turn.Connections, wait)
				}
				return err
			})
		},
		ValidArgsFunction: s.completeContainers(-1, false, running),
	}
	cmd.Flags().Uint32VarP(&wait, "wait", "w", 0, "Seconds to wait for the end of their connections")
	return cmd
}

func newUndrain(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:   "undrain CONTAINER [CONTAINER...]",
		Short: "Let containers in to their published ports again",
		Args:  someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				_, err := s.drain(ctx, name, "undrain", nil)
				return err
			})
		},
		ValidArgsFunction: s.completeContainers(-1, false, running),
	}
}

func running(c container.Summary) bool { return c.State == container.StateRunning }

func (s *Session) drain(ctx context.Context, name, verb string, query url.Values) (turn api.ContainerTurn, err error) {
	err = s.call(ctx, http.MethodPost, "/containers/"+url.PathEscape(name)+"/"+verb, query, nil, &turn)
	return turn, err
}
