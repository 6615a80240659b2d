package cli

import "github.com/spf13/cobra"

// newNetwork makes "berth network".
func newNetwork(s *Session) *cobra.Command {
	return group("network", "Manage networks", newNetworkRules(s))
}
