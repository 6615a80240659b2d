package cli

import (
	"github.com/spf13/cobra"
)

// composer is the program that runs applications: Compose is too heavy for this one.
const composer = "berth-compose"

// newCompose makes the command whose commands and flags are the composer's.
func newCompose(s *Session) *cobra.Command {
	return &cobra.Command{
		Use: "compose COMMAND", Short: "Run applications of several containers", DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return s.become(composer, args) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			return s.completeHelper(cmd.Context(), composer, args, word)
		},
	}
}
