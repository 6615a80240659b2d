package cli

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"
)

// TestDryRun looks for commands that remove something and cannot tell what.
func TestDryRun(t *testing.T) {
	found := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if slices.Contains([]string{"rm", "rmi", "prune", "gc"}, c.Name()) || c.Flags().Lookup("rm") != nil && c.Name() == "snapshot" {
			found++
			// What the builder does has the flag there (TestDryRun of cmd/berth-build).
			if !c.DisableFlagParsing && c.Flags().Lookup("dry-run") == nil {
				t.Errorf("%s has no --dry-run", c.CommandPath())
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(Commands())
	if found < 14 {
		t.Errorf("only %d commands that remove something were found", found)
	}
}
