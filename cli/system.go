package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newSystem(s *Session) *cobra.Command {
	return group("system", "Manage the engine", newDf(s), newDialStdio(s), newEvents(s), newInfo(s), newSystemPrune(s))
}

// newDialStdio is what an ssh:// address runs on the daemon's machine.
func newDialStdio(s *Session) *cobra.Command {
	return &cobra.Command{
		Use: "dial-stdio", Short: "Proxy the standard streams to the daemon", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.dialStdio(cmd.Context()) },
	}
}

// dialStdio ends when the daemon does not send any more. The end of the input
// ends one direction only.
func (s *Session) dialStdio(ctx context.Context) error {
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	conn, err := api.Dialer()(ctx)
	if err != nil {
		return fmt.Errorf("failed to open the raw stream connection: %w", err)
	}
	defer conn.Close()
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the raw stream connection cannot be closed in one direction")
	}
	sent := make(chan error, 1)
	go func() { // ends with the program at the latest
		_, err := io.Copy(conn, s.IO.In)
		if cerr := half.CloseWrite(); err == nil {
			err = cerr
		}
		sent <- err
	}()
	_, err = io.Copy(s.IO.Out, conn)
	select {
	case e := <-sent:
		if err == nil {
			err = e
		}
	default:
	}
	return err
}
