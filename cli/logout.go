package cli

import (
	"fmt"

	"github.com/berth-engine/berth/cli/settings"
	"github.com/spf13/cobra"
)

func newLogout(s *Session) *cobra.Command {
	return &cobra.Command{
		Use:         "logout [SERVER]",
		Short:       "Log out from a registry",
		Long:        "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
		Args:        optionalArg,
		Annotations: map[string]string{commonKey: "9"},
		RunE: func(_ *cobra.Command, args []string) error {
			server, shown := settings.Hub, settings.Hub
			if len(args) > 0 && args[0] != "" {
				server, shown = args[0], settings.Hostname(args[0])
				if settings.ServerFor(shown) == settings.Hub {
					server = settings.Hub
				}
			}
			fmt.Fprintln(s.IO.Out, "Removing login credentials for", shown)
			if err := s.settings().Erase(server); err != nil {
				fmt.Fprintf(s.IO.Err, "WARNING: could not erase credentials:\n%s: %s\n", server, err)
			}
			return nil
		},
	}
}
